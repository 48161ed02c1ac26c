"""What the two providers must have charged, by their rules alone: integers and fractions, nothing of gpurent.

MISTGPU: charged per minute while a server runs, each started minute at its beginning; n minutes sum to the whole fen of
price x n / 60. The balance must stay above zero: the minute that empties it takes the rest and shuts down every server.
1024GPU: prepaid. USD per hour divided by USD per DBC, rounded up once to the last unit; the order's own decimal is paid
on top. On early release only the started minutes are kept, each at the price of its term; the rest is refunded with
the decimal. A deposit is returned in full. A machine that fails in its first 144 hours costs nothing. A late payment is
refunded in full.
"""

from __future__ import annotations

from fractions import Fraction

UNITS_PER_DBC = 10**8
FREE_HOURS = 144


def cost_in_fen(price: int, minutes: int) -> int:
    """Return the cost; ``price`` is in fen per hour."""
    return price * minutes // 60


class MeteredOracle:
    """One MISTGPU account and its servers."""

    def __init__(self) -> None:
        self.balance = self.paid_in = self.spent = 0
        self.running: dict[str, list[int]] = {}
        self.cost: dict[str, int] = {}

    def top_up(self, amount: int) -> None:
        self.balance += amount
        self.paid_in += amount

    def start(self, name: str, price: int) -> None:
        self.running[name] = [price, 0]
        self.cost[name] = 0

    def charge_minute(self) -> None:
        for name in list(self.running):
            if name not in self.running:
                continue
            price, minutes = self.running[name]
            due = min(cost_in_fen(price, minutes + 1) - cost_in_fen(price, minutes), self.balance)
            self.running[name][1] += 1
            self.balance -= due
            self.spent += due
            self.cost[name] += due
            if self.balance <= 0:
                self.running.clear()

    def stop(self, name: str) -> None:
        self.running.pop(name, None)


class PrepaidOracle:
    """One 1024GPU wallet and its orders; amounts in units of 10^-8 DBC."""

    def __init__(self) -> None:
        self.balance = self.paid_in = self.paid = self.refunded = self.held = self.fees = 0
        self.orders: dict[str, dict[str, object]] = {}

    def top_up(self, amount: int) -> None:
        self.balance += amount
        self.paid_in += amount

    @staticmethod
    def compute_price(usd_an_hour: Fraction, gpus: int, minutes: int, usd_a_dbc: Fraction) -> int:
        exact = usd_an_hour * gpus * minutes / 60 / usd_a_dbc * UNITS_PER_DBC
        return -(-exact.numerator // exact.denominator)

    def pay_fee(self, amount: int) -> None:
        self.balance -= amount
        self.fees += amount

    def rent_order(self, name: str, minutes: int, units: int, code: int) -> None:
        self.orders[name] = {"terms": [(minutes, units)], "codes": code}
        self.balance -= units + code
        self.paid += units + code

    def renew_order(self, name: str, minutes: int, units: int, code: int) -> None:
        order = self.orders[name]
        order["terms"] = [*order["terms"], (minutes, units)]  # type: ignore[misc]
        order["codes"] = int(order["codes"]) + code  # type: ignore[call-overload]
        self.balance -= units + code
        self.paid += units + code

    def used_cost(self, name: str, minutes: int) -> int:
        left, cost = minutes, 0
        for term, units in self.orders[name]["terms"]:  # type: ignore[attr-defined]
            used_in_term = min(left, term)
            share = Fraction(units * used_in_term, term)
            cost += -(-share.numerator // share.denominator)
            left -= used_in_term
        return cost

    def release_order(self, name: str, minutes: int) -> int:
        terms = self.orders[name]["terms"]
        all_paid = sum(units for _term, units in terms) + int(self.orders[name]["codes"])  # type: ignore[attr-defined,call-overload]
        return self._refund(all_paid - self.used_cost(name, minutes))

    def fail_order(self, name: str, minutes: int) -> int:
        if minutes < FREE_HOURS * 60:
            terms = self.orders[name]["terms"]
            return self._refund(sum(units for _term, units in terms) + int(self.orders[name]["codes"]))  # type: ignore[attr-defined,call-overload]
        return 0

    def refund_late(self, units: int) -> None:
        self.balance -= units
        self.paid += units
        self._refund(units)

    def _refund(self, units: int) -> int:
        self.balance += units
        self.refunded += units
        return units

    def lock_deposit(self, units: int) -> None:
        self.balance -= units
        self.held += units

    def unlock_deposit(self, units: int) -> None:
        self.balance += units
        self.held -= units

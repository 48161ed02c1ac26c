"""The account of one lease by its declared terms."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.offer import Known, Unknown
from gpurent.domain.order import Bill, Payment
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.terms import Terms
from gpurent.errors import MoneyError, UnavailableError
from gpurent.locale import _
from gpurent.ports.clock import Clock
from gpurent.roles.billing import Balance, BillingProvider, TopUp

STOPPED = "stopped-at"


def stopped_at(lease: Lease) -> datetime | None:
    """When its stop script was run; None if it was not."""
    noted = lease.shop.get(STOPPED, "")
    return datetime.fromisoformat(noted) if noted else None


class DeclaredAccount(BillingProvider):
    """Reckons, and never pays: what a machine costs goes from the user to the shop without us."""

    def __init__(self, clock: Clock, lease: Lease, terms: Terms) -> None:
        self._clock, self._lease, self._terms = clock, lease, terms

    def used(self, lease: Lease, now: datetime) -> tuple[timedelta, Money]:
        """How long ``lease`` has run, and what that costs."""
        started = lease.started_at or self._terms.at
        ends = [lease.ended_at or stopped_at(lease) or now]
        if lease.expires_at is not None:
            # By its terms it is shut then; what comes after that must be declared anew.
            ends.append(lease.expires_at)
        span = max(timedelta(), min(ends) - started)
        return span, self._terms.cost(span)

    async def balance(self) -> Balance:
        now = self._clock.now()
        if self._terms.balance is None:
            raise UnavailableError(
                _("no balance was declared for {lease}").format(lease=self._lease.id),
                hint=_("Say what the account holds: gpurent declare {lease} --balance AMOUNT").format(
                    lease=self._lease.id
                ),
            )
        _span, used = self.used(self._lease, now)
        left = self._terms.balance - used
        return Balance(available=left if left.amount > 0 else left.currency.zero, at=now)

    async def rate(self, quote: Currency) -> Rate:
        mine = self._terms.price.currency
        if quote.code != mine.code:
            raise MoneyError(
                _("no rate between {one} and {other} is known here").format(one=mine.code, other=quote.code)
            )
        return Rate(mine, quote, Decimal(1), self._clock.now(), "identity")

    async def top_up(self, money: Money) -> TopUp:
        return TopUp(steps=(_("Pay it in on the provider's page; then declare the new balance."),))

    async def pay(self, bill: Bill) -> Payment:
        if bill.amount.amount:
            raise MoneyError(_("nothing is ever paid for a machine that was taken over by hand"))
        return Payment(key=bill.key, proof="", amount=bill.amount, at=self._clock.now())

    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        now = self._clock.now()
        span, cost = self.used(lease, now)
        if not cost.amount:
            return Known(())
        minutes = -(-span // timedelta(minutes=1))
        return Known(
            (
                Charge(
                    at=lease.ended_at or now,
                    kind=ChargeKind.USE,
                    money=cost,
                    ref=lease.id,
                    growing=not lease.over,
                    note=_("{minutes} min at {price}, declared").format(
                        minutes=minutes, price=self._terms.price
                    ),
                ),
            )
        )

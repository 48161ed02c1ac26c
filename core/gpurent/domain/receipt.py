"""What a lease cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.money import Currency, Money, Rate


class ChargeKind(Enum):
    """USE, RENEWAL, FEE are spent; DEPOSIT and HOLD are held; REFUND, DEPOSIT_RETURN come back.

    HOLD: left the account, and the shop's books do not have it yet. TOP_UP and TRANSFER are the user's own.
    """

    USE = "use"
    RENEWAL = "renewal"
    FEE = "fee"
    DEPOSIT = "deposit"
    REFUND = "refund"
    DEPOSIT_RETURN = "deposit-back"
    TOP_UP = "top-up"
    HOLD = "hold"
    TRANSFER = "transfer"


@frozen(kw_only=True)
class Charge:
    """One movement of money, ``money`` above zero; the kind says the direction. ``ref`` is the shop's or chain's.

    ``growing``: the meter runs, so the same ``ref`` will have a larger amount later.
    """

    at: datetime
    kind: ChargeKind
    money: Money
    ref: str
    note: str = ""
    rate: Rate | None = None
    growing: bool = False


_SPENT_KINDS = (ChargeKind.USE, ChargeKind.RENEWAL, ChargeKind.FEE)


@frozen(kw_only=True)
class ReceiptTotal:
    """One currency of a receipt: paid, come back, really spent, deposits still held."""

    currency: Currency
    paid: Money
    refunded: Money
    spent: Money
    held: Money


def sum_charges(charges: Iterable[Charge]) -> tuple[ReceiptTotal, ...]:
    """Per currency, never summed across."""
    found: dict[Currency, dict[str, int]] = {}
    for charge in charges:
        row = found.setdefault(charge.money.currency, {"paid": 0, "back": 0, "held": 0})
        if charge.kind in _SPENT_KINDS:
            row["paid"] += charge.money.amount
        elif charge.kind is ChargeKind.REFUND:
            row["back"] += charge.money.amount
        elif charge.kind in (ChargeKind.DEPOSIT, ChargeKind.HOLD):
            row["held"] += charge.money.amount
        elif charge.kind is ChargeKind.DEPOSIT_RETURN:
            row["held"] -= charge.money.amount
    return tuple(
        ReceiptTotal(
            currency=currency,
            paid=Money(row["paid"], currency),
            refunded=Money(row["back"], currency),
            spent=Money(row["paid"] - row["back"], currency),
            held=Money(row["held"], currency),
        )
        for currency, row in found.items()
    )


@frozen(kw_only=True)
class Receipt:
    """All movements of a lease, and the time that was paid but not used.

    ``idle`` holds named spans ("upload end -> job start", "job end -> release"), in provider time. ``note`` says
    why the shop's own books are not in it, when they could not be read.
    ``declared`` is the tariff when it rests on the user's word alone, empty when on the shop's books.
    """

    lease: str
    provider: str
    charges: Sequence[Charge]
    started_at: datetime | None
    ended_at: datetime | None
    idle: tuple[tuple[str, timedelta], ...] = ()
    note: str = ""
    declared: str = ""

    def totals(self) -> tuple[ReceiptTotal, ...]:
        return sum_charges(self.charges)

"""What a lease cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum

from attrs import field, frozen

from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.refunds import RefundOutcome
from gpurent.terminal_text import NO_TEXT, ForeignText, to_foreign_texts


class ChargeKind(Enum):
    """USAGE, RENEWAL and FEE are spent; DEPOSIT and HOLD are held; REFUND and DEPOSIT_REFUND come back.

    HOLD: left the account, but is not in the provider's statement yet. TOP_UP and TRANSFER move the user's own money.
    """

    USAGE = "usage"
    RENEWAL = "renewal"
    FEE = "fee"
    DEPOSIT = "deposit"
    REFUND = "refund"
    DEPOSIT_REFUND = "deposit-refund"
    TOP_UP = "top-up"
    HOLD = "hold"
    TRANSFER = "transfer"


@frozen(kw_only=True)
class Charge:
    """One movement of money; ``kind`` gives its direction and ``money`` is positive.

    ``ref`` is the provider's or the chain's reference. ``growing``: the meter is running, so the same ``ref`` will have
    a larger amount later.
    """

    at: datetime
    kind: ChargeKind
    money: Money
    ref: str = field(converter=ForeignText)
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    rate: Rate | None = None
    growing: bool = False


_SPENT_KINDS = (ChargeKind.USAGE, ChargeKind.RENEWAL, ChargeKind.FEE)


@frozen(kw_only=True)
class ReceiptTotal:
    """The totals of a receipt in one currency: paid, refunded, spent after refunds, and deposits still held."""

    currency: Currency
    paid: Money
    refunded: Money
    spent: Money
    held: Money


def sum_charges(charges: Iterable[Charge]) -> tuple[ReceiptTotal, ...]:
    """Sum the charges by currency; currencies are never added together."""
    found: dict[Currency, dict[str, int]] = {}
    for charge in charges:
        row = found.setdefault(charge.money.currency, {"paid": 0, "back": 0, "held": 0})
        if charge.kind in _SPENT_KINDS:
            row["paid"] += charge.money.amount
        elif charge.kind is ChargeKind.REFUND:
            row["back"] += charge.money.amount
        elif charge.kind in (ChargeKind.DEPOSIT, ChargeKind.HOLD):
            row["held"] += charge.money.amount
        elif charge.kind is ChargeKind.DEPOSIT_REFUND:
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
    """All charges of a lease, and the time that was paid but not used.

    ``idle`` holds named durations ("upload-to-job", "job-to-release") in provider time. ``note`` says why the
    provider's statement is not included, when it could not be read. ``declared`` is the tariff when it rests on the
    user's declaration alone, and empty when it comes from the provider's statement. ``payees``: to whom its bills were
    paid. ``refund`` compares what the provider quoted before the release with what has come back; None if it was not
    asked, or if nothing was to come back.
    """

    lease: str
    provider: str
    charges: Sequence[Charge]
    started_at: datetime | None
    ended_at: datetime | None
    idle: tuple[tuple[str, timedelta], ...] = ()
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    declared: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    payees: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)
    refund: RefundOutcome | None = None

    def totals(self) -> tuple[ReceiptTotal, ...]:
        return sum_charges(self.charges)

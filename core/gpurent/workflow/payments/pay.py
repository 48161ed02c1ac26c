"""Where money leaves: the only caller of `BillingProvider.pay`."""

from __future__ import annotations

from decimal import Decimal

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money, Rate
from gpurent.domain.order import Bill, Payment
from gpurent.errors import MoneyError, Spent
from gpurent.locale import _
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.payments.payment_lookup import paid_before
from gpurent.workflow.payments.quotes import RATE_TOLERANCE
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.durable_steps import TripContext

# A bill or a rate that is so many times off is taken for a mistake: no yes that was given before covers it.
MAX_PRICE_RATIO = 2


async def pay(
    trail: TripContext, step: str, provider: str, bill: Bill, ceiling: Money | None, rate: Rate | None = None
) -> Payment:
    """Pay ``bill`` once, whatever happens in between; above ``ceiling`` only after the user's yes.

    ``rate`` is the one that was quoted with. The key was journaled with the bill and the wallet is idempotent on it;
    that it may be paid is journaled before the wallet sees it, the payment before the shop does.
    """

    async def leave() -> Payment:
        desk = trail.desk
        late = bill.due is not None and desk.clock.now() >= bill.due
        if late and not await paid_before(trail, step, provider, bill):
            raise MoneyError(
                _("the time to pay this bill is over since {due:%H:%M:%S} UTC").format(due=bill.due),
                hint=_("Nothing was paid. Start again for a fresh order."),
                retryable=True,
            )
        if bill.amount.amount < 0:
            raise MoneyError(_("the shop sent a bill of {amount}").format(amount=bill.amount))
        if bill.amount.amount:
            await _agree(trail, provider, bill, ceiling, rate)
            trail.tell(EventKind.PAYING, _("paying {amount}").format(amount=bill.amount), key=bill.key)
        payment = await desk.wallet(provider).pay(bill)
        if payment.amount > bill.amount or payment.key != bill.key:
            raise MoneyError(
                _("asked to pay {asked}, the wallet says that it paid {paid}").format(
                    asked=bill.amount, paid=payment.amount
                ),
                spent=Spent.YES,
            )
        if payment.amount.amount:
            trail.tell(EventKind.PAID, _("paid {amount}").format(amount=payment.amount), proof=payment.proof)
        return payment

    payment = await trail.once(step, Payment, leave, quiet=True)
    trail.desk.books.note_payments(trail.trip)
    return payment


async def _agree(
    trail: TripContext, provider: str, bill: Bill, ceiling: Money | None, rate: Rate | None
) -> None:
    """Let the bill pass, or `MoneyError` with nothing paid. Passed once, it is not asked about again."""
    desk = trail.desk
    if budget.agreed(desk, bill):
        return
    if ceiling is not None and bill.amount.amount > ceiling.amount * MAX_PRICE_RATIO:
        raise MoneyError(
            _above(bill, ceiling), hint=_("Nothing was paid for it. Start again for a fresh quote.")
        )
    if rate is not None:
        await _mind_rate(trail, provider, bill, rate)
    if ceiling is not None and bill.amount > ceiling:
        _ask(trail, bill, ceiling)
    # One at a time, so that two trips do not both pass where there is room for one.
    async with desk.turn("budget"):
        await budget.check(desk, provider, bill.amount, trip=trail.trip, key=bill.key)
        budget.agree(desk, bill)


async def _mind_rate(trail: TripContext, provider: str, bill: Bill, quoted: Rate) -> None:
    """The rate as it is now must be sane, fresh and near the one of the quote."""
    now = await Rates(trail.desk).of(provider, quoted.quote)
    pair = f"{quoted.base.code}/{quoted.quote.code}"
    moved = now.value / quoted.value
    if not Decimal(1) / MAX_PRICE_RATIO <= moved <= MAX_PRICE_RATIO:
        raise MoneyError(
            _("the rate {pair} was {before} in the quote and is {now} now; the bill is {amount}").format(
                pair=pair, before=quoted.value, now=now.value, amount=bill.amount
            ),
            hint=_("Nothing was paid for it. Start again for a fresh quote."),
        )
    if abs(moved - 1) > RATE_TOLERANCE:
        trail.tell(
            EventKind.WARNING,
            _("the rate {pair} moved from {before} to {now} since the quote").format(
                pair=pair, before=quoted.value, now=now.value
            ),
        )


def _above(bill: Bill, ceiling: Money) -> str:
    return _("the bill of {amount} is above the agreed {ceiling}").format(amount=bill.amount, ceiling=ceiling)


def _ask(trail: TripContext, bill: Bill, ceiling: Money) -> None:
    question = _("The bill is {amount}, above the {ceiling} that you agreed to. Pay it?").format(
        amount=bill.amount, ceiling=ceiling
    )
    if not trail.desk.ui.confirm(question):
        hint = _("Nothing was paid for it. Raise --budget, or wait for a better price.")
        raise MoneyError(_above(bill, ceiling), hint=hint)

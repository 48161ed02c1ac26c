"""Where money leaves: whether a bill may be paid, and the only caller of `BillingProvider.pay_bill`."""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money, Rate
from gpurent.domain.offer import Bill, Known, Payment, PaymentPurpose
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import AgreedPrice
from gpurent.errors import MoneyError, Spent
from gpurent.locale import _
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import RATE_TOLERANCE
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.waiting import WorkLocks

# A bill or a rate that is so many times off is taken for a mistake: no yes that was given before covers it.
MAX_PRICE_RATIO = 2
_CHARGE_KINDS = {
    PaymentPurpose.RENT: ChargeKind.USE,
    PaymentPurpose.DEPOSIT: ChargeKind.DEPOSIT,
    PaymentPurpose.RENEWAL: ChargeKind.RENEWAL,
    PaymentPurpose.FEE: ChargeKind.FEE,
}


@frozen
class PaymentAuthorizer:
    """Lets a bill pass, or raises a `MoneyError` with nothing paid."""

    budgets: Budgets
    rates: ExchangeRates
    questions: Questions
    locks: WorkLocks

    async def authorize_bill(self, trip: TripContext, provider: str, bill: Bill, agreed: AgreedPrice) -> None:
        """Passed once, a bill is not asked about again. Above ``agreed.ceiling`` only by the user's yes."""
        if self.budgets.is_authorized(bill):
            return
        ceiling = agreed.ceiling
        if ceiling is not None and bill.amount.amount > ceiling.amount * MAX_PRICE_RATIO:
            raise MoneyError(
                _above_ceiling_text(bill, ceiling),
                hint=_("Nothing was paid for it. Start again for a fresh quote."),
            )
        if agreed.rate is not None:
            await self._check_rate(trip, provider, bill, agreed.rate)
        if ceiling is not None and bill.amount > ceiling:
            await self._ask_user(trip, bill, ceiling)
        # One at a time, so that two trips do not both pass where there is room for one.
        async with self.locks.lock_lease("budget"):
            await self.budgets.check_budgets(provider, bill.amount, trip=trip.id, key=bill.key)
            self.budgets.authorize_bill(bill)

    async def _check_rate(self, trip: TripContext, provider: str, bill: Bill, quoted: Rate) -> None:
        """The rate as it is now must be sane, fresh and near the one of the quote."""
        now = await self.rates.start_lookup().get_rate(provider, quoted.quote)
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
            trip.emit(
                EventKind.WARNING,
                _("the rate {pair} moved from {before} to {now} since the quote").format(
                    pair=pair, before=quoted.value, now=now.value
                ),
            )

    async def _ask_user(self, trip: TripContext, bill: Bill, ceiling: Money) -> None:
        text = _("The bill is {amount}, above the {ceiling} that you agreed to. Pay it?")
        question = Question(
            id=f"pay:{bill.key}:{bill.amount}",
            kind=QuestionKind.SPEND,
            text=text.format(amount=bill.amount, ceiling=ceiling),
            trip=trip.id,
        )
        if not await self.questions.confirm(question):
            hint = _("Nothing was paid for it. Raise --budget, or wait for a better price.")
            raise MoneyError(_above_ceiling_text(bill, ceiling), hint=hint)


def _above_ceiling_text(bill: Bill, ceiling: Money) -> str:
    return _("the bill of {amount} is above the agreed {ceiling}").format(amount=bill.amount, ceiling=ceiling)


@frozen
class Payments:
    store: LeaseStore
    plugins: Plugins
    authorizer: PaymentAuthorizer
    bookkeeping: Bookkeeping
    clock: Clock

    async def pay_bill(
        self, trip: TripContext, step: str, provider: str, bill: Bill, agreed: AgreedPrice
    ) -> Payment:
        """Pay ``bill`` once, whatever happens in between; above ``agreed.ceiling`` only after the user's yes.

        The key was recorded with the bill and the account is idempotent on it; that it may be paid is recorded
        before the account sees it, the payment before the provider does.
        """
        payment = await trip.step(
            step, Payment, lambda: self._pay_once(trip, step, provider, bill, agreed), quiet=True
        )
        self.bookkeeping.record_payments(trip.id)
        return payment

    async def _pay_once(
        self, trip: TripContext, step: str, provider: str, bill: Bill, agreed: AgreedPrice
    ) -> Payment:
        overdue = bill.due is not None and self.clock.now() >= bill.due
        if overdue and not await self._was_paid(trip, step, provider, bill):
            # What was paid is only taken up again, never paid anew.
            raise MoneyError(
                _("the time to pay this bill is over since {due:%H:%M:%S} UTC").format(due=bill.due),
                hint=_("Nothing was paid. Start again for a fresh order."),
                retryable=True,
            )
        if bill.amount.amount < 0:
            raise MoneyError(_("the shop sent a bill of {amount}").format(amount=bill.amount))
        if bill.amount.amount:
            await self.authorizer.authorize_bill(trip, provider, bill, agreed)
            trip.emit(EventKind.PAYING, _("paying {amount}").format(amount=bill.amount), key=bill.key)
        payment = await self.plugins.billing(provider).pay_bill(bill)
        if payment.amount > bill.amount or payment.key != bill.key:
            raise MoneyError(
                _("asked to pay {asked}, the wallet says that it paid {paid}").format(
                    asked=bill.amount, paid=payment.amount
                ),
                spent=Spent.YES,
            )
        if payment.amount.amount:
            trip.emit(EventKind.PAID, _("paid {amount}").format(amount=payment.amount), proof=payment.proof)
        return payment

    async def _was_paid(self, trip: TripContext, step: str, provider: str, bill: Bill) -> bool:
        """Whether a process that died paid exactly this bill, since ``step`` was first begun and before it was due.

        False also when the account's statement does not say: then nothing is paid late.
        """
        record = trip.store.find_trip(trip.id)
        lease = self.store.find_lease(record.lease) if record is not None else None
        begun = trip.steps_by_name().get(step)
        if lease is None or begun is None or bill.due is None or begun.begun_at >= bill.due:
            return False
        charges = await self.plugins.billing(provider).list_charges(lease)
        return isinstance(charges, Known) and any(
            charge.money == bill.amount
            and charge.kind is _CHARGE_KINDS[bill.purpose]
            and charge.at >= begun.begun_at
            for charge in charges.items
        )

"""The only place where money leaves: authorizes bills, and is the only caller of `BillingProvider.pay_bill`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Known
from gpurent.domain.money import Money, Rate, UnitPrice
from gpurent.domain.offer import Bill, Metered, Offer, Order, Payment, PaymentPurpose
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import AgreedPrice
from gpurent.errors import MoneyError, Spent
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.payees import Payees
from gpurent.workflow.payments.quotes import RATE_TOLERANCE
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.restore_checks import RestoreChecks

# A bill or rate that is off by this factor is taken for a mistake, and no earlier consent covers it.
MAX_PRICE_RATIO = 2
CHARGE_KINDS = {
    PaymentPurpose.RENT: ChargeKind.USAGE,
    PaymentPurpose.DEPOSIT: ChargeKind.DEPOSIT,
    PaymentPurpose.RENEWAL: ChargeKind.RENEWAL,
    PaymentPurpose.FEE: ChargeKind.FEE,
}


@frozen
class PaymentAuthorizer:
    """Authorizes a bill, or raises `MoneyError` with nothing paid."""

    budgets: Budgets
    rates: ExchangeRates
    questions: Questions
    locks: WorkLocks
    payees: Payees

    async def authorize_bill(
        self, trip: TripContext, bill: Bill, record: AuthorizedBill, agreed: AgreedPrice
    ) -> None:
        """Authorize a bill once, by writing ``record``; above ``agreed.ceiling`` only if the user consents."""
        await self.payees.check_payee(trip, bill, record)
        if await self.budgets.is_authorized(bill):
            return
        provider = record.provider
        ceiling = agreed.ceiling
        if ceiling is not None and bill.amount.amount > ceiling.amount * MAX_PRICE_RATIO:
            raise MoneyError(
                _above_ceiling_text(bill, ceiling),
                hint=_("Start again to get a new quote."),
            )
        if agreed.rate is not None:
            await self._check_rate(trip, provider, bill, agreed.rate)
        if ceiling is not None and bill.amount > ceiling:
            await self._ask_user(trip, bill, ceiling)
        # Providers are asked before the lock: one that hangs must not stop every other payment.
        await self.budgets.sync_leases(provider, trip.id)
        # One at a time, so that two trips cannot both use the same remaining budget.
        async with self.locks.lock_lease("budget"):
            await self.budgets.check_budgets(provider, bill.amount, trip=trip.id, key=bill.key, sync=False)
            await self.budgets.record_authorization(record)

    async def _check_rate(self, trip: TripContext, provider: str, bill: Bill, quoted: Rate) -> None:
        """Check that the current exchange rate is plausible, fresh and close to that of the quote."""
        now = await self.rates.start_lookup().get_rate(provider, quoted.quote)
        pair = f"{quoted.base.code}/{quoted.quote.code}"
        moved = now.value / quoted.value
        if not Decimal(1) / MAX_PRICE_RATIO <= moved <= MAX_PRICE_RATIO:
            raise MoneyError(
                _(
                    "the exchange rate {pair} was {before} in the quote and is {now} now; the bill is "
                    "{amount}"
                ).format(pair=pair, before=quoted.value, now=now.value, amount=bill.amount),
                hint=_("Start again to get a new quote."),
            )
        if abs(moved - 1) > RATE_TOLERANCE:
            trip.emit(
                EventKind.WARNING,
                _("the exchange rate {pair} has changed from {before} to {now} since the quote").format(
                    pair=pair, before=quoted.value, now=now.value
                ),
            )

    async def _ask_user(self, trip: TripContext, bill: Bill, ceiling: Money) -> None:
        text = _("The bill is {amount}, more than the {ceiling} that you agreed to. Pay it?")
        question = Question(
            id=f"pay:{bill.key}:{bill.amount}",
            kind=QuestionKind.SPEND,
            text=text.format(amount=bill.amount, ceiling=ceiling),
            trip=trip.id,
        )
        if not await self.questions.confirm(question):
            hint = _("Raise --budget, or wait for a better price.")
            raise MoneyError(_above_ceiling_text(bill, ceiling), hint=hint)

    async def authorize_price(self, trip: TripContext, order: Order, listed: UnitPrice) -> None:
        """Authorize a metered price that rose since the quote, if the user consents; there is no bill to compare.

        Raises `MoneyError`, with nothing ordered.
        """
        quoted = order.offer.tariff.price
        same_unit = listed.currency == quoted.currency and listed.per == quoted.per
        if same_unit and listed.value <= quoted.value:
            return
        text = _("The price is {now}, more than the {quoted} of the quote.").format(now=listed, quoted=quoted)
        refused = MoneyError(text, hint=_("Start again to get a new quote."), spent=Spent.NO)
        if not same_unit or listed.value > quoted.value * MAX_PRICE_RATIO:
            raise refused
        question = Question(
            id=f"price:{order.key}:{listed}",
            kind=QuestionKind.SPEND,
            text=text + " " + _("Rent it?"),
            trip=trip.id,
        )
        if not await self.questions.confirm(question):
            raise refused


def _above_ceiling_text(bill: Bill, ceiling: Money) -> str:
    return _("the bill of {amount} exceeds the agreed {ceiling}").format(amount=bill.amount, ceiling=ceiling)


@frozen
class Payments:
    """``find_account`` returns the user's account at a provider, empty if it is not known."""

    store: Store
    plugins: Plugins
    authorizer: PaymentAuthorizer
    bookkeeping: Bookkeeping
    clocks: ProviderClocks
    find_account: Callable[[str], str]
    checks: RestoreChecks

    async def may_be_paid(self, bill: Bill) -> bool:
        """Whether the bill was authorized, so that the account may have been asked to pay it."""
        return bool(bill.amount.amount) and await self.authorizer.budgets.is_authorized(bill)

    async def authorize_price(self, trip: TripContext, step: str, order: Order, listed: Offer) -> None:
        """Compare the price at the moment of a metered order with its quote; once. ``listed`` is the offer now."""
        if not isinstance(listed.tariff, Metered):
            return  # a bill follows, and is compared with what was agreed

        async def authorize() -> str:
            await self.authorizer.authorize_price(trip, order, listed.tariff.price)
            return str(listed.tariff.price)

        await trip.step(step, str, authorize, quiet=True)

    async def pay_bill(
        self,
        trip: TripContext,
        step: str,
        provider: str,
        bill: Bill,
        agreed: AgreedPrice,
        *,
        lease_id: str = "",
    ) -> Payment:
        """Pay ``bill`` exactly once, even across crashes; above ``agreed.ceiling`` only with the user's consent.

        The bill's key is recorded beforehand, and the account is idempotent on it. The authorization is recorded before
        the account is asked to pay, and the payment before it is shown to the provider. ``lease_id`` is empty for a fee
        of the account itself.
        """
        record = AuthorizedBill(
            key=bill.key,
            trip=trip.id,
            lease=lease_id,
            provider=provider,
            account=self.find_account(provider),
            amount=bill.amount,
            purpose=bill.purpose,
            payee=bill.payee,
        )
        payment = await trip.step(
            step, Payment, lambda: self._pay_once(trip, step, bill, record, agreed), quiet=True
        )
        recorded = await self.store.find_recorded_payment(bill.key)
        if recorded is not None:
            await self.bookkeeping.record_payments(recorded.trip)
        return payment

    async def record_confirmation(self, payment: Payment) -> None:
        """Record that the provider has accepted the payment."""
        await self.store.confirm_recorded_payment(payment.key)

    async def _pay_once(
        self, trip: TripContext, step: str, bill: Bill, record: AuthorizedBill, agreed: AgreedPrice
    ) -> Payment:
        provider = record.provider
        await self.checks.require_checked(provider, trip.id)
        overdue = bill.due is not None and self.clocks.clock_of(provider).now() >= bill.due
        if overdue and not await self._was_paid(trip, step, provider, bill):
            # An overdue bill is never paid; only an earlier payment of it is accepted.
            raise MoneyError(
                _("the time to pay this bill ended at {due:%H:%M:%S} UTC").format(due=bill.due),
                hint=_("Start again to get a new order."),
                retryable=True,
            )
        if bill.amount.amount < 0:
            raise MoneyError(
                _("the provider sent a bill with a negative amount: {amount}").format(amount=bill.amount)
            )
        if bill.amount.amount:
            await self.authorizer.authorize_bill(trip, bill, record, agreed)
            text = _("paying {amount} to {payee}").format(amount=bill.amount, payee=bill.payee or provider)
            trip.emit(EventKind.PAYING, text, key=bill.key, payee=bill.payee)
        payment = await self.plugins.billing(provider).pay_bill(bill)
        if payment.amount > bill.amount or payment.key != bill.key:
            raise MoneyError(
                _("the wallet was asked to pay {asked}, but reports that it paid {paid}").format(
                    asked=bill.amount, paid=payment.amount
                ),
                spent=Spent.YES,
            )
        if bill.amount.amount:
            await self.store.put_payment(trip.id, payment)
        if payment.amount.amount:
            text = _("paid {amount}").format(amount=payment.amount)
            trip.emit(EventKind.PAID, text, proof=payment.proof, payee=bill.payee)
        return payment

    async def _was_paid(self, trip: TripContext, step: str, provider: str, bill: Bill) -> bool:
        """Return whether an earlier process paid exactly this bill after ``step`` first began, before it was due.

        Also False if the account's statement is not available: then nothing is paid late.
        """
        record = await trip.store.find_trip(trip.id)
        lease = await self.store.find_lease(record.lease) if record is not None else None
        begun = (await trip.steps_by_name()).get(step)
        if lease is None or begun is None or bill.due is None or begun.started_at >= bill.due:
            return False
        charges = await self.plugins.billing(provider).list_charges(lease)
        return isinstance(charges, Known) and any(
            charge.money == bill.amount
            and charge.kind is CHARGE_KINDS[bill.purpose]
            and charge.at >= begun.started_at
            for charge in charges.items
        )

"""Step: bind an e-mail address to the account, if the provider sends codes and SSH access by e-mail."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.offer import Bill, Payment
from gpurent.domain.provider_names import get_base_name
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.trip import AgreedPrice
from gpurent.errors import AuthError, InputRequired, MoneyError, UsageError
from gpurent.locale import _
from gpurent.ports.payment_store import MailBindingStore
from gpurent.roles.lease import MailBinding, SupportsMailBinding, SupportsMailChange
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.pay import Payments
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import Poller

POLL_INTERVAL = timedelta(seconds=15)
BINDING_TIMEOUT = timedelta(minutes=30)


@frozen
class MailBinder:
    """A provider that binds an address, or binds another one in place of it."""

    role: SupportsMailBinding
    is_change: bool = False

    async def request(self, email: str, key: str) -> MailBinding:
        if self.is_change and isinstance(self.role, SupportsMailChange):
            return await self.role.request_mail_change(email, key)
        return await self.role.request_binding(email, key)

    async def complete(self, binding: MailBinding, payment: Payment | None) -> MailBinding:
        if self.is_change and isinstance(self.role, SupportsMailChange):
            return await self.role.complete_mail_change(binding, payment)
        return await self.role.complete_binding(binding, payment)


@frozen
class BindMailStep:
    """Binds an e-mail address, unless the provider needs none or already has one."""

    plugins: Plugins
    payments: Payments
    settings: Settings
    questions: Questions
    budgets: Budgets
    bindings: MailBindingStore
    logins: Logins
    locks: WorkLocks
    poller: Poller

    async def is_needed(self, provider: str) -> bool:
        """Ask the provider whether an address has to be bound first."""
        binder = self.plugins.provider(provider)
        return isinstance(binder, SupportsMailBinding) and not await binder.get_bound_email()

    async def bind_mail(self, trip: TripContext, provider: str) -> None:
        """Request the binding, pay what it costs, and wait until the provider has verified the address.

        Money is spent only within a budget, or after the user agreed to the price. Raises `InputRequired` if nobody is
        there to agree, `MoneyError` if the user does not.
        """
        binder = self.plugins.provider(provider)
        if not isinstance(binder, SupportsMailBinding):
            return
        # Recorded only once the address is bound; until then, a resumed trip asks the provider again.
        if await trip.find_result("bind-mail", str) is not None:
            return
        # One at a time: another trip may be paying for the same account's address now, and the codes for two accounts
        # of one provider are mailed to the same address.
        async with self._lock(provider):
            if not await binder.get_bound_email():
                await self._bind_account(trip, provider, MailBinder(binder))

    async def set_address(self, trip: TripContext, provider: str, email: str) -> None:
        """Bind ``email``, also in place of another one; nothing happens if it is bound already.

        Raises `UsageError` if the provider cannot do that, else as `bind_mail` does.
        """
        binder: object = self.plugins.provider(provider)
        if not isinstance(binder, SupportsMailBinding):
            raise UsageError(_("{provider} needs no e-mail address").format(provider=provider))
        async with self._lock(provider):
            bound = await binder.get_bound_email()
            if bound.casefold() == email.casefold():
                await self.bindings.end_mail_binding(provider, self.logins.find_account(provider), email)
                return
            if bound and not isinstance(binder, SupportsMailChange):
                raise UsageError(
                    _("{provider} has {email} bound, and cannot change it").format(
                        provider=provider, email=bound
                    )
                )
            await self._bind_account(trip, provider, MailBinder(binder, is_change=bool(bound)), email)

    def _lock(self, provider: str) -> AbstractAsyncContextManager[object]:
        return self.locks.lock_lease(f"bind-mail-{get_base_name(provider)}")

    async def _bind_account(
        self, trip: TripContext, provider: str, binder: MailBinder, wanted: str = ""
    ) -> None:
        account = self.logins.find_account(provider)

        async def request() -> MailBinding:
            email = wanted or await self._get_address(trip)
            # The account pays for a key only once, so an address that a dead trip has paid for is not paid for again.
            key = await self.bindings.claim_binding_key(provider, account, email, f"{trip.id}-bind")
            return await binder.request(email, key)

        binding = await trip.step("bind-mail.request", MailBinding, request)
        payment = None
        if binding.bill is not None:
            agreed = await self._agree_on_price(trip, provider, binding.email, binding.bill)
            payment = await self.payments.pay_bill(trip, "bind-mail.pay", provider, binding.bill, agreed)

        async def complete() -> str:
            email = await self._complete_binding(trip, binder, binding, payment)
            if payment is not None:
                await self.payments.record_confirmation(payment)
            return email

        await trip.step("bind-mail", str, complete)
        # A later binding, after this one was undone, is another one.
        await self.bindings.end_mail_binding(provider, account, binding.email)

    async def _agree_on_price(self, trip: TripContext, provider: str, email: str, bill: Bill) -> AgreedPrice:
        """Return the bill's amount as the ceiling; a budget that is too small is found when the bill is authorized."""
        agreed = AgreedPrice(ceiling=bill.amount)
        is_known = not bill.amount.amount or await self.budgets.is_authorized(bill)
        if is_known or await self.budgets.list_limits(provider, trip.id):
            return agreed
        text = _("Binding the e-mail address {email} at {provider} costs {amount}. Pay it?").format(
            email=email, provider=provider, amount=bill.amount
        )
        question = Question(
            id=f"bind-mail:{bill.key}:{bill.amount}", kind=QuestionKind.SPEND, text=text, trip=trip.id
        )
        if await self.questions.confirm(question):
            return agreed
        if self.questions.is_interactive:
            raise MoneyError(
                _("the e-mail address {email} was not bound, which would cost {amount}").format(
                    email=email, amount=bill.amount
                ),
            )
        raise InputRequired(
            _("binding the e-mail address {email} costs {amount}, and nobody has agreed to that").format(
                email=email, amount=bill.amount
            ),
            hint=_("Agree with: gpurent -y resume {trip}").format(trip=trip.id),
            retryable=True,
        )

    async def _get_address(self, trip: TripContext) -> str:
        found = self.settings.get("mail", "address") or self.settings.get("imap", "user")
        if found:
            return found
        return await self.questions.require_input(
            Question(
                id=f"{trip.id}:bind.request",
                kind=QuestionKind.CHOICE,
                text=_("Your e-mail address (codes and SSH access are sent to it)"),
                trip=trip.id,
            )
        )

    async def _complete_binding(
        self, trip: TripContext, binder: MailBinder, binding: MailBinding, payment: Payment | None
    ) -> str:
        state = binding

        async def look() -> str | None:
            nonlocal state
            await trip.store.require_locks()
            state = await binder.complete(state, payment)
            return state.email if state.done else None

        async def emit_waiting() -> None:
            trip.emit(EventKind.WAITING, _("waiting for {email} to be bound").format(email=state.email))

        email = await self.poller.poll(
            look, interval=POLL_INTERVAL, timeout=BINDING_TIMEOUT, on_wait=emit_waiting
        )
        if email is None:
            raise AuthError(
                _("the e-mail address {email} was not confirmed in time").format(email=state.email),
                hint=_("Try again later with: gpurent resume {trip}").format(trip=trip.id),
                retryable=True,
            )
        return email

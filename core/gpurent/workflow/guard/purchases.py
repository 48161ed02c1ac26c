"""What keeps leases going for money: renewals of prepaid ones, and top-ups of a balance that runs dry."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from attrs import define, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Order
from gpurent.domain.trip import TripLimits, TripRecord, TripSpec
from gpurent.errors import BudgetExceeded, GpurentError, MoneyError, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.account import TopUp
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.guard.decide import Renew
from gpurent.workflow.guard.saved_state import ActionLog, format_timestamp, make_action_name
from gpurent.workflow.guard.spending import billed_cost, smallest_budget
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.timing.guard_policy import PolicyAmount
from gpurent.workflow.timing.timers import TimerCommands
from gpurent.workflow.trips.operations import LeaseOrders


class RenewalUnfunded(MoneyError):
    """The account has too little for what the policy allows; nothing was ordered."""

    def __init__(self, needed: Funding, provider: str) -> None:
        super().__init__(
            _("a renewal needs {needed}, and {balance} are there").format(
                needed=needed.ceiling, balance=needed.balance
            ),
            hint=_("Nothing was spent. Top up: gpurent topup {provider}").format(provider=provider),
            retryable=True,
        )
        self.funding = needed


@frozen
class LeaseRenewals:
    """Once for each period, within the budget, and at the price that was quoted. Each is a trip of its own."""

    log: ActionLog
    plugins: Plugins
    leases: LeaseTracker
    orders: LeaseOrders
    timers: TimerCommands
    _payment_lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def begin_renewal(self, lease: Lease, action: Renew) -> TripRecord:
        """The one trip for the period that ends at ``action.until``, however often and by whomever it is called."""
        name = make_action_name("renew", lease.id, action.until)
        budget = self._find_budget(lease, action.budget)
        if all(record.outcome.startswith("failed") for record in self.log.list_attempts(name)):
            # Nothing is begun that cannot be paid.
            order = await self._make_order(lease, action.term, key="")
            _require_affordable(
                await self.orders.price_order(self.log.context_of(name), order), lease, budget
            )
        limits = TripLimits(term=action.term, budget=budget)
        record = self.log.begin_action(name, TripSpec(provider=lease.provider, limits=limits), lease.id)
        if record.outcome.startswith("unclear"):
            raise MoneyError(
                _("nobody knows whether the renewal of {lease} was paid; it is not tried again").format(
                    lease=lease.id
                ),
                hint=_("Look at the shop's page, then: gpurent renew {lease}").format(lease=lease.id),
                spent=Spent.UNKNOWN,
            )
        return record

    async def resume_renewal(self, trip: TripContext, record: TripRecord) -> None:
        """From where it was left; one at a time, so that two do not both count on the same balance."""
        async with self._payment_lock:
            before = self.leases.get_lease(record.lease)
            try:
                await self._execute_renewal(trip, record, before)
            except GpurentError as error:
                if not error.retryable or isinstance(error, RenewalUnfunded):
                    self.log.fail_trip(trip.id, error)
                raise
            self.log.end_trip(trip.id)
            after = self.leases.get_lease(record.lease)
            await self.timers.extend_after_renewal(before, after)
        until = after.expires_at
        text = _("{lease} was renewed; it runs until {until:%Y-%m-%d %H:%M} UTC")
        trip.emit(
            EventKind.RENEWED,
            text.format(lease=record.lease, until=until),
            lease=record.lease,
            until=until.isoformat() if until else "",
        )

    async def _execute_renewal(self, trip: TripContext, record: TripRecord, lease: Lease) -> None:
        limits = record.spec.limits
        term, key = limits.term or timedelta(), f"{trip.id}-renew"
        order = await trip.step("order", Order, lambda: self._make_order(lease, term, key), quiet=True)
        price = await trip.step("quote", Funding, lambda: self.orders.price_order(trip, order), quiet=True)
        if trip.find_result("leg0.reserve", str) is None:
            _require_affordable(price, lease, limits.budget)
            await self._require_same_period(record)
        await self.orders.execute_order(trip, record.lease, order)

    async def _make_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRenewal):
            raise UsageError(_("{provider} has no renewal").format(provider=lease.provider))
        return provider.make_renewal_order(lease, term, key)

    async def _require_same_period(self, record: TripRecord) -> None:
        """The period is still the one to be extended, and nobody else has an order on the lease."""
        async with self.log.locks.lock_lease(record.lease):
            lease = await self.leases.refresh_lease(record.lease)
        if lease.pending is not None and not lease.pending.key.startswith(record.id):
            raise UnavailableError(
                _("another order on {lease} is under way").format(lease=lease.id), retryable=True
            )
        if lease.expires_at is None or format_timestamp(lease.expires_at) not in record.id:
            raise MoneyError(_("{lease} was given more time meanwhile").format(lease=lease.id))

    def _find_budget(self, lease: Lease, written: PolicyAmount | None) -> Money | None:
        """The least of what the lease's trips and the policy allow it to cost in all, in its bills' currency."""
        used = billed_cost(lease)
        if used is None:
            return None
        trips = (record.id for record in self.log.store.list_trips(lease.id))
        return smallest_budget(self.log.store, trips, used.currency, written)


def _require_affordable(price: Funding, lease: Lease, budget: Money | None) -> None:
    """`RenewalUnfunded`, or `BudgetExceeded` when the budget would break; nothing is spent either way."""
    used = billed_cost(lease)
    if budget is not None and used is not None and used + price.ceiling > budget:
        raise BudgetExceeded(
            _("{lease} is not renewed: {price} more would break its budget of {budget}").format(
                lease=lease.id, price=price.ceiling, budget=budget
            ),
            hint=_("Nothing was spent for it."),
        )
    if price.ceiling > price.balance:
        raise RenewalUnfunded(price, lease.provider)


@define
class TopUpRequests:
    """The page is made once, the user is told once, the money is waited for.

    One open trip ``guard-topup-…`` for each account that is short; it ends when the money is there.
    """

    log: ActionLog
    plugins: Plugins
    budgets: Budgets
    _last_balances: dict[str, Money] = field(factory=dict, init=False)

    def find_open_request(self, provider: str) -> TripRecord | None:
        head = make_action_name("topup", f"{self._get_account_name(provider)}-")
        return next(iter(self.log.list_open_actions(head)), None)

    async def request_top_up(self, provider: str, wanted: PolicyAmount, least: Money | None = None) -> None:
        """``wanted``, or ``least`` if that is more. Silent while an earlier page is open."""
        if self.find_open_request(provider) is not None:
            return
        available = await self._get_balance(provider)
        if available.currency.code != wanted.code:
            raise MoneyError(
                _("the account of {provider} holds {there}, the policy tops up in {code}").format(
                    provider=provider, there=available.currency.code, code=wanted.code
                ),
                hint=_("Change top_up in [guard.{provider}].").format(provider=provider),
            )
        money = available.currency.money(wanted.value)
        if least is not None and least > money:
            money = least
        # More than a month's budget could ever spend is not asked for.
        await self.budgets.check_budgets(provider, money, sync=False)
        name = make_action_name("topup", self._get_account_name(provider), self.log.clock.now())
        spec = TripSpec(provider=provider, limits=TripLimits(budget=money))
        await self.resume_request(self.log.begin_action(name, spec, lease=""))

    async def resume_request(self, record: TripRecord) -> None:
        """The page, then the event for the user; nothing when both are done. Another process is at it: `BusyError`."""
        trip, provider, money = (
            self.log.context_of(record.id),
            record.spec.provider,
            record.spec.limits.budget,
        )
        if money is None or trip.find_result("told", str) is not None:
            return

        with self.log.lock_trip(record.id):
            await trip.step("before", Money, lambda: self._get_balance(provider), quiet=True)
            page = await trip.step(
                "page", TopUp, lambda: self.plugins.billing(provider).create_top_up(money), quiet=True
            )
            await trip.step("told", str, lambda: _emit_top_up(trip, provider, money, page), quiet=True)

    async def poll_request(self, provider: str) -> bool:
        """Whether an account that was short is so still; ends the trip when the balance has risen."""
        record = self.find_open_request(provider)
        if record is None:
            return False
        await self.resume_request(record)
        trip = self.log.context_of(record.id)
        now = await self._get_balance(provider)
        before = self._last_balances.get(record.id) or trip.find_result("before", Money) or now
        self._last_balances[record.id] = now
        if now <= before:
            return True
        self.log.end_trip(record.id, "arrived")
        text = _("{provider}: the money has arrived, {balance} are there")
        trip.emit(EventKind.TOPPED_UP, text.format(provider=provider, balance=now), provider=provider)
        return False

    def end_request(self, provider: str) -> None:
        """Nothing drains the account any more: the shortage is over, paid or not."""
        record = self.find_open_request(provider)
        if record is not None:
            self.log.end_trip(record.id, "over")

    def _get_account_name(self, provider: str) -> str:
        return self.plugins.provider_entry(provider).billing

    async def _get_balance(self, provider: str) -> Money:
        return (await self.plugins.billing(provider).get_balance()).available


async def _emit_top_up(trip: TripContext, provider: str, money: Money, page: TopUp) -> str:
    """Where to pay; the page's address."""
    words = _("{provider} runs dry; top up {money}: {steps}").format(
        provider=provider, money=money, steps=" ".join(page.steps)
    )
    trip.emit(
        EventKind.TOP_UP,
        f"{words} {page.url}".strip(),
        provider=provider,
        amount=f"{money.decimal:f}",
        currency=money.currency.code,
        url=page.url,
        qr=page.qr,
    )
    return page.url

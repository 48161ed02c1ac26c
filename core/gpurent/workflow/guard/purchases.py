"""The guard's purchases: renewals of prepaid leases, and top-ups of a low balance."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from attrs import define, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.guard_actions import ActionKind, GuardAction
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Order
from gpurent.domain.outcomes import OutcomeKind, TripOutcome
from gpurent.domain.trip import TripLimits, TripRecord, TripSpec
from gpurent.errors import BudgetExceeded, GpurentError, MoneyError, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.account import MoneyInstructions
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.guard.decide import Renew
from gpurent.workflow.guard.saved_state import ActionLog, make_action_id
from gpurent.workflow.guard.spending import billed_cost
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.timing.guard_policy import PolicyAmount
from gpurent.workflow.timing.lease_budgets import smallest_budget
from gpurent.workflow.timing.timers import TimerCommands
from gpurent.workflow.trips.lease_orders import LeaseOrders

END_DRIFT = timedelta(minutes=5)
"""A provider may estimate the end of a period, anew at each look; what lies this near is the same end."""


class RenewalUnfunded(MoneyError):
    """The balance is too low for a renewal that the policy allows; nothing was ordered."""

    def __init__(self, needed: Funding, balance: Money, provider: str) -> None:
        super().__init__(
            _("a renewal needs {needed}, but the balance is {balance}").format(
                needed=needed.ceiling, balance=balance
            ),
            hint=_("Top up: gpurent topup {provider}").format(provider=provider),
            retryable=True,
        )
        self.missing = needed.ceiling - balance


@frozen
class LeaseRenewals:
    """Renews leases: once per period, within the budget, at the quoted price. Each renewal is a trip of its own."""

    log: ActionLog
    plugins: Plugins
    leases: LeaseTracker
    orders: LeaseOrders
    timers: TimerCommands
    _payment_lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def begin_renewal(self, lease: Lease, action: Renew) -> TripRecord:
        """Return the single trip that renews the period ending at ``action.until``. Idempotent across processes."""
        until = await self._find_recorded_end(lease, action.until.replace(microsecond=0))
        renewal = GuardAction(kind=ActionKind.RENEW, at=until)
        budget = await self._find_budget(lease, action.budget)
        if all(record.has_failed for record in await self.log.list_attempts(renewal, lease.id)):
            # Do not begin what cannot be paid.
            order = await self._make_order(lease, action.term, key="")
            _require_affordable(
                await self.orders.pricer.price_order(make_action_id(renewal, lease.id), order), lease, budget
            )
        limits = TripLimits(term=action.term, budget=budget)
        record = await self.log.begin_action(
            renewal, TripSpec(provider=lease.provider, limits=limits), lease.id
        )
        if record.outcome is not None and record.outcome.kind is OutcomeKind.UNKNOWN:
            raise MoneyError(
                _("it is unclear whether the renewal of {lease} was paid; it is not retried").format(
                    lease=lease.id
                ),
                hint=_("Check the provider's page, then: gpurent renew {lease} --for 1h").format(
                    lease=lease.id
                ),
                spent=Spent.UNKNOWN,
            )
        return record

    async def _find_recorded_end(self, lease: Lease, until: datetime) -> datetime:
        """Return the end by which a renewal of this period is recorded already; ``until`` if there is none."""
        records = await self.log.list_lease_actions(lease.id, ActionKind.RENEW)
        ends = [record.action.at for record in records if record.action and record.action.at]
        return next((end for end in ends if abs(end - until) < END_DRIFT), until)

    async def resume_renewal(self, trip: TripContext, record: TripRecord) -> None:
        """Resume the renewal; one at a time, so that no two of them count on the same balance."""
        async with self._payment_lock:
            before = await self.leases.get_lease(record.lease)
            try:
                await self._execute_renewal(trip, record, before)
            except GpurentError as error:
                if not error.retryable or isinstance(error, RenewalUnfunded):
                    await self._end_unpaid_renewal(trip, before.id, error)
                raise
            await self.log.end_trip(trip.id)
            after = await self.leases.get_lease(record.lease)
            await self.timers.extend_after_renewal(before, after)
        until = after.expires_at
        text = _("{lease} was renewed; it runs until {until:%Y-%m-%d %H:%M} UTC")
        trip.emit(
            EventKind.RENEWED,
            text.format(lease=record.lease, until=until),
            lease=record.lease,
            until=until.isoformat() if until else "",
        )

    async def _end_unpaid_renewal(self, trip: TripContext, lease_id: str, error: GpurentError) -> None:
        async with self.log.locks.lock_lease(lease_id):
            if await self.orders.provision.records.abandon_unpaid_order(trip.id, lease_id):
                await self.log.fail_trip(trip.id, error)

    async def _execute_renewal(self, trip: TripContext, record: TripRecord, lease: Lease) -> None:
        limits = record.spec.limits
        term, key = limits.term or timedelta(), _make_order_key(record)
        order = await trip.step("order", Order, lambda: self._make_order(lease, term, key), quiet=True)
        price = await trip.step(
            "quote", Funding, lambda: self.orders.pricer.price_order(trip.id, order), quiet=True
        )
        if await trip.find_result("leg0.reserve", str) is None:
            _require_affordable(price, lease, limits.budget)
            await self._require_same_period(record)
        await self.orders.execute_order(trip, record.lease, order)

    async def _make_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRenewal):
            raise UsageError(_("{provider} does not support renewal").format(provider=lease.provider))
        return provider.make_renewal_order(lease, term, key)

    async def _require_same_period(self, record: TripRecord) -> None:
        """Raise an error if the period has already been extended, or if another order for the lease is in progress."""
        async with self.log.locks.lock_lease(record.lease):
            lease = await self.leases.refresh_locked_lease(record.lease)
        if lease.pending is not None and lease.pending.key != _make_order_key(record):
            raise UnavailableError(
                _("another order for {lease} is in progress").format(lease=lease.id), retryable=True
            )
        until = record.action.at if record.action is not None else None
        if until is None or lease.expires_at is None or abs(lease.expires_at - until) >= END_DRIFT:
            raise MoneyError(_("{lease} was extended in the meantime").format(lease=lease.id))

    async def _find_budget(self, lease: Lease, written: PolicyAmount | None) -> Money | None:
        """Return the smallest of the budgets of the lease's trips and of the policy, in the currency of its bills."""
        used = billed_cost(lease)
        if used is None:
            return None
        trips = (record.id for record in await self.log.store.list_trips(lease.id))
        return await smallest_budget(self.log.store, trips, used.currency, written)


def _make_order_key(record: TripRecord) -> str:
    return f"{record.id}-renew"


def _require_affordable(price: Funding, lease: Lease, budget: Money | None) -> None:
    """Raise `RenewalUnfunded` or `BudgetExceeded` if the renewal is not affordable; nothing has been spent."""
    used = billed_cost(lease)
    if budget is not None and used is not None and used + price.ceiling > budget:
        raise BudgetExceeded(
            _(
                "{lease} is not renewed: this needs {price}, but only {left} of its budget ({budget}) is left"
            ).format(
                lease=lease.id,
                price=price.ceiling,
                budget=budget,
                left=max(budget - used, budget.currency.zero),
            ),
        )
    if price.balance is not None and price.ceiling > price.balance:
        raise RenewalUnfunded(price, price.balance, lease.provider)


@define
class TopUpRequests:
    """Asks the user to top up an account: creates the page once, emits one event, then waits for the money.

    Each account that is short has one open trip ``guard-topup-…``, which ends when the balance rises.
    """

    log: ActionLog
    plugins: Plugins
    budgets: Budgets
    _last_balances: dict[str, Money] = field(factory=dict, init=False)

    async def find_open_request(self, provider: str) -> TripRecord | None:
        wanted = self._make_action(provider)
        for record in await self.log.list_open_actions(ActionKind.TOP_UP):
            found = record.action
            if found is None or found.billing != wanted.billing:
                continue
            # An account that is not known may be any.
            if found.account == wanted.account or "" in (found.account, wanted.account):
                return record
        return None

    async def request_top_up(self, provider: str, wanted: PolicyAmount, least: Money | None = None) -> None:
        """Ask the user to top up by ``wanted``, or by ``least`` if that is more. No-op while a request is open."""
        if await self.find_open_request(provider) is not None:
            return
        available = await self._get_balance(provider)
        if available.currency.code != wanted.currency_code:
            raise MoneyError(
                _("the account of {provider} is in {there}, but the policy tops up in {code}").format(
                    provider=provider, there=available.currency.code, code=wanted.currency_code
                ),
                hint=_("Change top_up in [guard.{provider}].").format(provider=provider),
            )
        money = available.currency.money(wanted.value)
        if least is not None and least > money:
            money = least
        # Do not request more than the monthly budget could spend.
        await self.budgets.check_budgets(provider, money, sync=False)
        action = self._make_action(provider, self.log.clock.now())
        spec = TripSpec(provider=provider, limits=TripLimits(budget=money))
        await self.resume_request(await self.log.begin_action(action, spec))

    async def resume_request(self, record: TripRecord) -> None:
        """Create the page and emit the event, unless done already. Raises `BusyError` if another process is at it."""
        trip, provider, money = (
            self.log.context_of(record.id),
            record.spec.provider,
            record.spec.limits.budget,
        )
        if money is None or await trip.find_result("notified", str) is not None:
            return

        async with self.log.lock_trip(record.id):
            await trip.step("balance-before", Money, lambda: self._get_balance(provider), quiet=True)
            page = await trip.step(
                "instructions",
                MoneyInstructions,
                lambda: self.plugins.billing(provider).create_top_up(money),
                quiet=True,
            )
            await trip.step("notified", str, lambda: _emit_top_up(trip, provider, money, page), quiet=True)

    async def poll_request(self, provider: str) -> bool:
        """Return whether a top-up is still outstanding; end its trip once the balance has risen."""
        record = await self.find_open_request(provider)
        if record is None:
            return False
        await self.resume_request(record)
        trip = self.log.context_of(record.id)
        now = await self._get_balance(provider)
        before = self._last_balances.get(record.id) or await trip.find_result("balance-before", Money) or now
        self._last_balances[record.id] = now
        if now <= before:
            return True
        await self.log.end_trip(record.id, TripOutcome(OutcomeKind.ARRIVED))
        text = _("{provider}: the top-up has arrived; the balance is {balance}")
        trip.emit(EventKind.TOPPED_UP, text.format(provider=provider, balance=now), provider=provider)
        return False

    async def end_request(self, provider: str) -> None:
        """End the open request: no lease drains the account any more, so the shortage is over, paid or not."""
        record = await self.find_open_request(provider)
        if record is not None:
            await self.log.end_trip(record.id, TripOutcome(OutcomeKind.OVER))

    def _make_action(self, provider: str, at: datetime | None = None) -> GuardAction:
        entry = self.plugins.provider_entry(provider)
        account = self.plugins.find_account(provider)
        return GuardAction(kind=ActionKind.TOP_UP, billing=entry.billing, account=account, at=at)

    async def _get_balance(self, provider: str) -> Money:
        return (await self.plugins.billing(provider).get_balance()).available


async def _emit_top_up(trip: TripContext, provider: str, money: Money, page: MoneyInstructions) -> str:
    """Tell the user where to pay; return the page's URL."""
    words = _("the balance of {provider} is running low; top up {money}: {steps}").format(
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

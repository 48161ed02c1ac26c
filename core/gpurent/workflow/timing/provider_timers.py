"""The timers of the providers themselves (`SupportsStopTimer`), as a layer behind the timer in the machine.

Such a timer also works while this computer is off and the machine hangs. It follows the deadline of the timer in the
machine, and the time at which a budget of the lease is used up at its price. That it cannot be set is a warning.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.offer import Metered
from gpurent.domain.retention import RetentionEvent, find_kept_time
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.ports.store import TripStore
from gpurent.roles.lease import SupportsStopTimer
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.timing.guard_policy import GuardPolicies
from gpurent.workflow.timing.lease_budgets import find_budget_end, smallest_budget

# A trip and the guard end a lease at its budget themselves, and may still be downloading then.
BUDGET_GRACE = timedelta(minutes=15)
DAY = timedelta(days=1)


@frozen(eq=False)
class ProviderTimers:
    """Sets, moves and lifts the providers' own timers; does nothing where a provider has none."""

    leases: LeaseTracker
    store: TripStore
    policies: GuardPolicies
    events: EventEmitter

    async def set_deadline(self, lease_id: str, until: datetime | None, trip_id: str = "") -> datetime | None:
        """Let the provider shut the machine down at ``until``, or once a budget is used up if that is earlier.

        Without either, what is set stays. Returns when the provider shuts it down, None if it does not.
        """
        return await self._apply(lease_id, until, trip_id, lifts=False)

    async def lift_deadline(self, lease_id: str, trip_id: str = "") -> datetime | None:
        """Lift the deadline, as `set_deadline`; the time at which a budget is used up stays."""
        return await self._apply(lease_id, None, trip_id, lifts=True)

    async def _apply(
        self, lease_id: str, until: datetime | None, trip_id: str, *, lifts: bool
    ) -> datetime | None:
        lease = await self.leases.get_lease(lease_id)
        if lease.is_over or lease.needs_proof or not lease.ref:
            return None
        try:
            return await self._set_time(lease, until, trip_id, lifts=lifts)
        except Exception as raised:  # noqa: BLE001 - whatever it is, the other layers are left
            error = to_gpurent_error(raised)
            text = _("{provider} did not take a time at which it shuts {lease} down itself: {why}").format(
                provider=lease.provider, lease=lease.id, why=error.message
            )
            self.events.emit(EventKind.WARNING, text, trip=trip_id, lease=lease.id)
            return lease.stops_at

    async def _set_time(
        self, lease: Lease, until: datetime | None, trip_id: str, *, lifts: bool
    ) -> datetime | None:
        provider = self.leases.plugins.provider_of(lease)
        if not isinstance(provider, SupportsStopTimer):
            return None
        now = self.leases.get_time(lease)
        limits = (until, await self._find_budget_end(lease, now))
        at = min((limit for limit in limits if limit is not None), default=None)
        if at is None and (not lifts or lease.stops_at is None):
            return lease.stops_at
        stops_at = await provider.set_stop_time(lease, None if at is None else max(at, now))
        if stops_at != lease.stops_at:
            await self.leases.update_lease(lease.id, lambda known: evolve(known, stops_at=stops_at))
        if stops_at is not None and lease.stops_at is None:
            entry = self.leases.plugins.provider_entry(lease.provider)
            kept_for = find_kept_time(entry.retention, RetentionEvent.STOPPED)
            text = format_provider_timer(evolve(lease, stops_at=stops_at), kept_for)
            self.events.emit(EventKind.TIMER, text, trip=trip_id, lease=lease.id)
        return stops_at

    async def _find_budget_end(self, lease: Lease, now: datetime) -> datetime | None:
        trips = [record.id for record in await self.store.list_trips(lease.id)]
        policy = self.policies.get_policy(lease.provider, lease=lease.id)
        currency = lease.offer.tariff.price.currency
        budget = await smallest_budget(self.store, trips, currency, policy.budget)
        end = find_budget_end(lease, budget, now)
        return None if end is None else end + BUDGET_GRACE


def format_provider_timer(lease: Lease, kept_for: timedelta | None) -> str:
    """Return when the provider shuts the machine down itself (`Lease.stops_at`), and what that leaves to pay.

    ``kept_for``: how long it keeps the files of a machine that is shut down, None if it does not say.
    """
    text = _("{provider} itself shuts {lease} down at {at:%Y-%m-%d %H:%M} UTC, even if this computer is off")
    line = text.format(provider=lease.provider, lease=lease.id, at=lease.stops_at)
    kept = (
        "" if kept_for is None else _("they are deleted {span} later").format(span=format_duration(kept_for))
    )
    return "; ".join(filter(None, (line, _describe_cost(lease.offer.stopped_price, lease), kept)))


def _describe_cost(stopped: UnitPrice | None, lease: Lease) -> str:
    if stopped is not None and stopped.is_known and not stopped.value:
        return _("its files are then kept, and cost nothing")
    if stopped is not None and stopped.is_known:
        return _("its files are then kept, for {price} a day until you release it").format(
            price=stopped.cost(DAY)
        )
    if isinstance(lease.offer.tariff, Metered):
        return _("what it costs from then on is not known")
    return _("what was paid is not refunded by that")

"""What leases have cost so far and what ends each first, from what this computer knows. Makes no requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.lease_outlook import EndCause, LeaseOutlook, find_first_end
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.domain.time_left import TimeLeft
from gpurent.ports.store import Store
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.timing.machine_timer import MachineTimers

if TYPE_CHECKING:
    from gpurent.domain.trip import TripRecord

_LIMIT_SECTION = "guard"
_LIMIT_VARIABLES = "GPURENT_GUARD_"
_RENTING_KINDS = ("run", "rent")


@frozen(eq=False)
class LeaseOutlooks:
    """Modules of trips and policies are only imported for a lease that has a trip, or if the user set a limit."""

    store: Store
    settings: Settings
    timers: MachineTimers
    clocks: ProviderClocks

    async def get_outlooks(
        self, leases: Sequence[Lease], times: Mapping[str, TimeLeft]
    ) -> Mapping[str, LeaseOutlook]:
        """Return the outlook of each of ``leases`` by id; ``times`` has the time left of each."""
        booked = await self.store.sum_lease_spending([lease.id for lease in leases])
        trips = {
            trip.lease: trip for trip in await self.store.list_open_trips() if trip.kind in _RENTING_KINDS
        }
        return {
            lease.id: await self._make_outlook(
                lease, times[lease.id], booked.get(lease.id, ()), trips.get(lease.id)
            )
            for lease in leases
        }

    async def _make_outlook(
        self, lease: Lease, time_left: TimeLeft, booked: Sequence[Money], trip: TripRecord | None
    ) -> LeaseOutlook:
        now = self.clocks.clock_of(lease.provider).now()
        spent, is_estimated = _estimate_spending(lease, booked, now)
        if lease.is_over:
            return LeaseOutlook(spent=spent, end=find_first_end(time_left, (), now))
        ends = [
            (EndCause.TIMER, await self.timers.find_deadline(lease)),
            (EndCause.PROVIDER_TIMER, lease.stops_at),
            *await self._list_limits(lease, trip, now),
        ]
        return LeaseOutlook(spent=spent, is_estimated=is_estimated, end=find_first_end(time_left, ends, now))

    async def _list_limits(
        self, lease: Lease, trip: TripRecord | None, now: datetime
    ) -> list[tuple[EndCause, datetime | None]]:
        """Return when the deadline and the budget of the lease are reached, as its trip and the user's policy say."""
        if trip is None and not self._has_own_limits():
            return []
        from gpurent.workflow.timing.guard_policy import GuardPolicies
        from gpurent.workflow.timing.lease_budgets import find_budget_end, smallest_budget

        policies, trips = GuardPolicies(self.settings), [trip.id] if trip is not None else []
        policy = policies.get_policy(
            lease.provider, trip.spec if trip is not None else None, lease=lease.id, trip="".join(trips)
        )
        budget = await smallest_budget(self.store, trips, lease.offer.tariff.price.currency, policy.budget)
        return [
            (EndCause.DEADLINE, policy.resolve_deadline(lease.started_at)),
            (EndCause.BUDGET, find_budget_end(lease, budget, now)),
        ]

    def _has_own_limits(self) -> bool:
        sections = (name.partition(".")[0] for name in self.settings.sections)
        return _LIMIT_SECTION in sections or any(
            name.startswith(_LIMIT_VARIABLES) for name in self.settings.environment
        )


def _estimate_spending(
    lease: Lease, booked: Sequence[Money], now: datetime
) -> tuple[tuple[Money, ...], bool]:
    """Return what was spent, at least what a running meter shows by the clock; whether that is an estimate."""
    price, tariff = lease.current_price, lease.offer.tariff
    is_running = isinstance(tariff, Metered) and not lease.is_over and lease.started_at is not None
    if not is_running or lease.is_stopped or not price.is_known:
        return tuple(booked), False
    counted = price.cost(now - (lease.started_at or now))
    others = tuple(money for money in booked if money.currency != counted.currency)
    known = sum((money.amount for money in booked if money.currency == counted.currency), 0)
    if counted.amount <= known:
        return tuple(booked), False
    return (counted, *others), True

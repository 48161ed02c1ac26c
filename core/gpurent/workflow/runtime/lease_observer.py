"""Asks a provider for one lease again and again, by the rule that an answer that says nothing changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease
from gpurent.ports.system import Clock
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.leases import LeaseTracker

# Between two questions to a provider whose answers say nothing; doubled each time.
MIN_PAUSE, MAX_PAUSE = timedelta(seconds=5), timedelta(minutes=2)


@define
class LeaseObserver:
    """``report`` is given each reason why nothing is known, once.

    A provider whose answers say nothing is asked less and less often, and not before the pause that it asks for is
    over. ``is_locked``: the caller holds the lease's lock. ``last_unknown`` is set while the last answer said nothing.
    """

    leases: LeaseTracker
    lease_id: str
    clock: Clock
    report: Callable[[str], None]
    is_locked: bool = False
    last_unknown: Unknown | None = None
    _ask_again_at: datetime | None = None
    _pause: timedelta = MIN_PAUSE
    _reported: set[str] = field(factory=set)

    @classmethod
    def for_trip(
        cls, trip: TripContext, leases: LeaseTracker, lease_id: str, clock: Clock, *, is_locked: bool
    ) -> LeaseObserver:
        """Return one whose reasons are warnings of the trip."""

        def warn(reason: str) -> None:
            trip.emit(EventKind.WARNING, reason, lease=lease_id)

        return cls(leases, lease_id, clock, warn, is_locked)

    @property
    def is_paused(self) -> bool:
        """Whether it is too early to ask again: the provider asked for a pause, or its last answers said nothing."""
        return self._ask_again_at is not None and self.clock.now() < self._ask_again_at

    async def observe(self) -> Lease | Unknown:
        """Return the refreshed lease, or `Unknown`; raises `InputRequired` and `BusyError`."""
        if self.last_unknown is not None and self.is_paused:
            return self.last_unknown
        seen = await self.leases.observe_lease(self.lease_id, is_locked=self.is_locked)
        return self.note_unknown(seen) if isinstance(seen, Unknown) else self._note_known(seen)

    def note_unknown(self, unknown: Unknown) -> Unknown:
        """Report ``unknown``, unless its reason was reported before, and return it."""
        if unknown.reason not in self._reported:
            self._reported.add(unknown.reason)
            self.report(unknown.reason)
        self.last_unknown = unknown
        self._ask_again_at = self.clock.now() + (unknown.retry_after or self._pause)
        self._pause = min(self._pause * 2, MAX_PAUSE)
        return unknown

    def _note_known(self, lease: Lease) -> Lease:
        self.last_unknown = self._ask_again_at = None
        self._pause = MIN_PAUSE
        return lease

"""Goes on with the work of a trip whose machine failed: as a new trip, on another machine, within the same budget."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import TripLimits, TripRecord, TripSpec
from gpurent.errors import GpurentError, LeaseGone, SoldOut, StartFailed
from gpurent.locale import _
from gpurent.ports.store import LockedTripStore
from gpurent.workflow.runtime.durable_steps import TripContext, TripTracker
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.trip_chain import list_earlier_trips

STEP = "continue"
MAX_MACHINES = 5
"""On how many machines one attempt may fail to start."""
# Ends that the provider decided on; of an expired lease the time or the money was used up.
_LOST_STATES = (LeaseState.FAILED, LeaseState.GONE, LeaseState.RELEASED)


@frozen
class TripContinuation:
    tracker: TripTracker
    leases: LeaseTracker

    async def begin_next_trip(self, trip: TripContext, spec: TripSpec, error: GpurentError) -> None:
        """Begin the trip that goes on after ``error``, if the user wants that and nothing burns here any more.

        It is begun before ``trip`` ends, so that a process that dies in between leaves one that can be resumed.
        """
        record = await trip.store.find_trip(trip.id)
        lease = await self.leases.store.find_lease(record.lease) if record is not None else None
        if record is None or lease is None or not lease.is_over or lease.pending is not None:
            return
        following = await self._make_next_spec(trip.store, record, spec, lease, error)
        if following is None:
            return
        next_id = await trip.record_result(STEP, self.tracker.make_trip_id())
        if await trip.store.find_trip(next_id) is None:
            await trip.store.begin_trip(next_id, record.kind, following)
        trip.emit(
            EventKind.WARNING,
            _("{why}; trip {trip} goes on with another machine").format(why=error.message, trip=next_id),
            lease=lease.id,
        )

    async def find_next_trip(self, trip_id: str) -> TripRecord | None:
        """Return the trip that goes on with the work of an ended one; None if none does."""
        next_id = await self.tracker.context_of(trip_id).find_result(STEP, str)
        return None if next_id is None else await self.tracker.store.find_trip(next_id)

    async def _make_next_spec(
        self, store: LockedTripStore, record: TripRecord, spec: TripSpec, lease: Lease, error: GpurentError
    ) -> TripSpec | None:
        if spec.lease or spec.requirements.machine:
            return None  # only this machine will do
        if isinstance(error, (StartFailed, SoldOut)):
            may_go_on = spec.limits.ready_within is not None
            if isinstance(error, SoldOut):
                may_go_on = _was_taken_while_staging(spec, lease)
            if not may_go_on or await self._count_machines(store, record) >= MAX_MACHINES:
                return None
            attempt = spec.attempt
        elif isinstance(error, LeaseGone):
            is_lost = lease.state in _LOST_STATES and lease.release_requested_at is None
            if not is_lost or spec.attempt > spec.limits.recover:
                return None
            attempt = spec.attempt + 1
        else:
            return None
        return evolve(
            spec,
            # The user named no provider, so that any other may have the next machine.
            provider="" if spec.any_provider else spec.provider,
            limits=_count_from(spec.limits, lease),
            attempt=attempt,
            continues=record.id,
        )

    async def _count_machines(self, store: LockedTripStore, record: TripRecord) -> int:
        """Return on how many machines this attempt did not start, this one included."""
        earlier = await list_earlier_trips(store, record.id)
        return 1 + sum(item.spec.attempt == record.spec.attempt for item in earlier)


def _was_taken_while_staging(spec: TripSpec, lease: Lease) -> bool:
    """Whether somebody else took the GPUs of the machine on which the files wait: at most the upload is lost."""
    return bool(lease.completed_orders) and not lease.offer.hardware.gpus and not spec.requirements.cpu_only


def _count_from(limits: TripLimits, lease: Lease) -> TripLimits:
    """Return the limits with a deadline that still counts from the start of the first machine."""
    if limits.deadline_in is None or lease.started_at is None:
        return limits
    return evolve(limits, deadline_in=None, deadline_at=limits.deadline_for(lease.started_at))

"""What a command says that was stopped while its trip goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.domain.time_left import TimeKind
from gpurent.locale import _
from gpurent.workflow.reports.trip_phase import TripPhase, describe_phase, find_phase
from gpurent.workflow.timing.time_left import describe_time_left

if TYPE_CHECKING:
    from gpurent.composition.state import StoredState


async def describe_detached(state: StoredState, trip_id: str) -> str:
    """Return what runs and what costs money, from the state on disk; empty if the trip has ended."""
    record = await state.store.find_trip(trip_id)
    if record is None or not record.is_open:
        return ""
    lease = await state.store.find_lease(record.lease) if record.lease else None
    phase = find_phase(await state.store.list_steps(trip_id), lease)
    lines = [_("Detached from {trip}.").format(trip=trip_id), describe_phase(phase, record.lease)]
    if lease is not None and phase is not TripPhase.OVER:
        figures = await state.last_seen.get_last_seen([lease])
        if figures[lease.id].kind is not TimeKind.UNKNOWN:
            lines.append(describe_time_left(figures[lease.id]))
    return "\n".join([*lines, _("Resume with: gpurent resume {trip}").format(trip=trip_id)])

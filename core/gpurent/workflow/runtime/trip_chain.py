"""A trip and those before it whose machines failed: they share one budget and one permission to spend."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.domain.trip import TripRecord
from gpurent.ports.store import TripStore


async def list_earlier_trips(store: TripStore, trip_id: str) -> Sequence[TripRecord]:
    """Return the trips with whose work this one goes on, the oldest first."""
    found: dict[str, TripRecord] = {}
    record = await store.find_trip(trip_id)
    while record is not None and record.id not in found:
        found[record.id] = record
        record = await store.find_trip(record.spec.continues) if record.spec.continues else None
    return [one for one in reversed(found.values()) if one.id != trip_id]

"""A trip and those before it whose machines failed: they share one budget and one permission to spend."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.domain.trip import TripRecord
from gpurent.ports.store import TripStore


async def list_earlier_trips(store: TripStore, record: TripRecord) -> Sequence[TripRecord]:
    """Return the trips with whose work ``record`` goes on, the oldest first."""
    found: list[TripRecord] = []
    seen = {record.id}
    while record.spec.continues and record.spec.continues not in seen:
        before = await store.find_trip(record.spec.continues)
        if before is None:
            break
        seen.add(before.id)
        found.append(before)
        record = before
    return found[::-1]

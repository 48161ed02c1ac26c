"""All open trips at once: resuming them, and closing those that never ordered anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

from attrs import frozen

from gpurent.domain.outcomes import NOTHING_ORDERED
from gpurent.domain.trip import TripRecord
from gpurent.errors import BusyError, GpurentError, UsageError
from gpurent.workflow.runtime.durable_steps import TripTracker
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.trips.machine_work import TripResult
from gpurent.workflow.trips.operations import Trips

MAX_CONCURRENT = 8
# An open trip of this age that ordered nothing is given up: its offer and its prices are out of date.
UNORDERED_AGE = timedelta(hours=24)
_ORDERING_STEPS = (".reserve", ".pay", "manual-rental")


@frozen
class OpenTrips:
    trip_tracker: TripTracker
    leases: LeaseTracker
    trips: Trips

    async def resume_all(
        self, *, detach: bool = False
    ) -> AsyncIterator[tuple[str, TripResult | GpurentError]]:
        """Resume every open trip of the user, several at once; yield how each went, as soon as it ends."""
        gate = asyncio.Semaphore(MAX_CONCURRENT)

        async def resume(record: TripRecord) -> tuple[str, TripResult | GpurentError]:
            async with gate:
                try:
                    return record.id, await self.trips.resume(record.id, detach=detach)
                except GpurentError as error:
                    return record.id, error

        works = [resume(record) for record in await self.list_open_trips()]
        for ended in asyncio.as_completed(works):
            yield await ended

    async def list_open_trips(self) -> list[TripRecord]:
        """Return the user's open trips, oldest first; the guard's own go on by themselves."""
        return [
            record for record in await self.trip_tracker.store.list_open_trips() if record.kind != "guard"
        ]

    async def close_unordered_trips(self) -> list[str]:
        """Close the open trips that ordered nothing and were begun long ago; return their ids."""
        closed = []
        for record in await self.list_open_trips():
            age = self.trip_tracker.clock.now() - record.started_at
            if age < UNORDERED_AGE or await self.has_ordered(record):
                continue
            # Another process may order something, or end the trip, until it is locked.
            with suppress(BusyError, UsageError):
                async with self.trip_tracker.lock_open_trip(record.id) as locked:
                    if not await self.has_ordered(locked):
                        await self.trip_tracker.end_trip(locked.id, NOTHING_ORDERED)
                        closed.append(locked.id)
        return closed

    async def has_ordered(self, record: TripRecord) -> bool:
        """Whether the trip uses a machine or began to order one."""
        if record.spec.lease or record.kind == "release":
            return True
        if record.lease and await self.leases.store.find_lease(record.lease) is not None:
            return True
        names = [step.name for step in await self.trip_tracker.store.list_steps(record.id)]
        return any(name.endswith(_ORDERING_STEPS) for name in names)

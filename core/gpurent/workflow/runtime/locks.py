"""Locks on trips and leases, across processes and tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from attrs import field, frozen

from gpurent.domain.locks import LockOwner
from gpurent.errors import BusyError, LockLost
from gpurent.locale import _
from gpurent.ports.lock_store import LockStore
from gpurent.workflow.runtime.waiting import Poller

# How often, and how long, to try to get the lock of a lease.
LOCK_POLL_INTERVAL = timedelta(seconds=2)
LOCK_TIMEOUT = timedelta(minutes=15)


@frozen
class WorkLocks:
    """Locks trips and leases. What is done under a lock is written through its session.

    ``locked_trips`` are the trips that this process has worked on, oldest first.
    """

    store: LockStore
    poller: Poller
    locked_trips: list[str] = field(factory=list, init=False)

    @asynccontextmanager
    async def lock_trip(self, trip: str) -> AsyncIterator[None]:
        """Lock a trip for this process. Raises `BusyError` if another process holds it."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.store.hold_lock(trip))
            except LockLost:
                raise
            except BusyError as error:
                raise BusyError(
                    _("{trip} is in use by {owner}").format(trip=trip, owner=error.owner),
                    owner=error.owner,
                    hint=_("Wait for that process, or end it; the job itself keeps running either way."),
                ) from None
            self.locked_trips.append(trip)
            try:
                yield
            except LockLost as error:
                error.hint = _("This command has written nothing since. See: {command}").format(
                    command=f"gpurent trips show {trip}"
                )
                raise

    async def find_trip_owner(self, trip: str) -> LockOwner | None:
        """Return the process that executes the trip; None if there is none."""
        return await self.store.find_lock_owner(trip)

    async def is_trip_locked(self, trip: str) -> bool:
        return await self.find_trip_owner(trip) is not None

    @asynccontextmanager
    async def lock_lease(self, name: str) -> AsyncIterator[None]:
        """Wait for the lock of a lease, so that an order and a release of one machine never overlap.

        Raises `BusyError` on timeout.
        """
        owner = "?"
        async with AsyncExitStack() as stack:

            async def enter() -> bool | None:
                nonlocal owner
                try:
                    await stack.enter_async_context(self.store.hold_lock(name))
                except LockLost:
                    raise
                except BusyError as error:
                    owner = error.owner
                    return None
                return True

            if not await self.poller.poll(enter, interval=LOCK_POLL_INTERVAL, timeout=LOCK_TIMEOUT):
                raise BusyError(
                    _("{lease} is in use by {owner}").format(lease=name, owner=owner),
                    owner=owner,
                    hint=_("Nothing was done. Wait for that process, or end it, then try again."),
                )
            yield

"""Waiting: in provider time, in real time, for locks, and for background tasks that end with their block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from attrs import field, frozen

from gpurent.errors import BusyError
from gpurent.locale import _
from gpurent.ports.system import Clock, Locks

T = TypeVar("T")
# How often, and how long, to try to get the lock of a lease.
LOCK_POLL_INTERVAL = timedelta(seconds=2)
LOCK_TIMEOUT = timedelta(minutes=15)


@frozen
class Poller:
    """Polls and pauses by the provider's clock. ``min_seconds``: the least real time that a pause takes."""

    clock: Clock

    async def pause(self, span: timedelta, min_seconds: float = 0.1) -> None:
        """Sleep for ``span`` of provider time, but at least ``min_seconds`` real seconds."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self.clock.sleep(span)
        rest = min_seconds - (loop.time() - begun)
        if rest > 0:
            await asyncio.sleep(rest)

    async def poll(
        self,
        check: Callable[[], Awaitable[T | None]],
        *,
        interval: timedelta,
        timeout: timedelta | None = None,
        min_seconds: float = 0.1,
        on_wait: Callable[[], Awaitable[None]] | None = None,
    ) -> T | None:
        """Call ``check`` until it returns a value; None after ``timeout``. ``on_wait`` is called before each pause."""
        waited = timedelta()
        while (found := await check()) is None:
            if timeout is not None and waited >= timeout:
                return None
            if on_wait is not None:
                await on_wait()
            await self.pause(interval, min_seconds)
            waited += interval
        return found


async def poll_until(
    check: Callable[[], Awaitable[T]], is_done: Callable[[T], bool], *, interval: float, timeout: float
) -> T:
    """Call ``check`` at least once until ``is_done`` or until ``timeout`` (real seconds); return its last result."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        seen = await check()
        if is_done(seen) or loop.time() >= deadline:
            return seen
        await asyncio.sleep(interval)


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait until they have ended; their results and errors are ignored."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def run_in_background(coroutine: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run ``coroutine`` in a task while the block runs; at its end, cancel the task and wait for it."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        await cancel_and_wait(task)


async def wait_for_first(*works: Coroutine[Any, Any, Any]) -> tuple[asyncio.Task[Any], ...]:
    """Run all concurrently until the first ends; cancel the others. Return the tasks in the given order."""
    tasks = tuple(asyncio.create_task(work) for work in works)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*(task for task in tasks if not task.done()))
    return tasks


@frozen
class WorkLocks:
    """Locks on trips and leases, across processes and tasks.

    ``locked_trips`` are the trips that this process has worked on, oldest first.
    """

    locks: Locks
    poller: Poller
    locked_trips: list[str] = field(factory=list, init=False)

    @contextmanager
    def lock_trip(self, trip: str) -> Iterator[None]:
        """Lock a trip for this process. Raises `BusyError` if another process holds it."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.locks.hold(trip))
            except BusyError as error:
                raise BusyError(
                    _("{trip} is in use by process {holder}").format(trip=trip, holder=error.holder),
                    holder=error.holder,
                    hint=_("Wait for that process, or end it; the job itself keeps running either way."),
                ) from None
            self.locked_trips.append(trip)
            yield

    def find_trip_holder(self, trip: str) -> str:
        """Return the ID of the process that executes the trip; empty if there is none."""
        try:
            with self.locks.hold(trip):
                return ""
        except BusyError as error:
            return error.holder

    def is_trip_locked(self, trip: str) -> bool:
        return bool(self.find_trip_holder(trip))

    @asynccontextmanager
    async def lock_lease(self, name: str) -> AsyncIterator[None]:
        """Wait for the lock of a lease, so that an order and a release of one machine never overlap.

        Raises `BusyError` on timeout.
        """
        holder = "?"
        with ExitStack() as stack:

            async def enter() -> bool | None:
                nonlocal holder
                try:
                    stack.enter_context(self.locks.hold(name))
                except BusyError as error:
                    holder = error.holder
                    return None
                return True

            if not await self.poller.poll(enter, interval=LOCK_POLL_INTERVAL, timeout=LOCK_TIMEOUT):
                raise BusyError(
                    _("{lease} is in use by process {holder}").format(lease=name, holder=holder),
                    holder=holder,
                    hint=_("Nothing was done. Wait for that process, or end it, then try again."),
                )
            yield

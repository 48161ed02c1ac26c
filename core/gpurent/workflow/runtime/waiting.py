"""Waiting: in provider time, in real time, for locks, and for tasks that end with the block that began them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from attrs import frozen

from gpurent.errors import BusyError
from gpurent.locale import _
from gpurent.ports.system import Clock, Locks

T = TypeVar("T")
# How often, and how long, the turn at a lease is waited for.
LOCK_POLL_INTERVAL = timedelta(seconds=2)
LOCK_TIMEOUT = timedelta(minutes=15)


@frozen
class Poller:
    """Polls by the provider's clock. ``floor``: real seconds that a pause lasts at least."""

    clock: Clock

    async def pause(self, span: timedelta, min_seconds: float = 0.1) -> None:
        """Wait ``span`` of provider time, but at least ``min_seconds`` real seconds."""
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
        on_wait: Callable[[], None] | None = None,
    ) -> T | None:
        """Look until it gives something; None when ``timeout`` is over. ``on_wait`` is called before each pause."""
        waited = timedelta()
        while (found := await check()) is None:
            if timeout is not None and waited >= timeout:
                return None
            if on_wait is not None:
                on_wait()
            await self.pause(interval, min_seconds)
            waited += interval
        return found


async def poll_until(
    check: Callable[[], Awaitable[T]], is_done: Callable[[T], bool], *, interval: float, timeout: float
) -> T:
    """Look, at least once, until ``is_done`` or ``timeout`` are over; what was seen last."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        seen = await check()
        if is_done(seen) or loop.time() >= deadline:
            return seen
        await asyncio.sleep(interval)


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Stopped and waited for, so that nothing of them goes on; how they ended is nobody's concern any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def run_in_background(coroutine: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """``coroutine`` beside the block; what of it is not done at the block's end is cancelled and waited for."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        await cancel_and_wait(task)


async def wait_for_first(*works: Coroutine[Any, Any, Any]) -> tuple[asyncio.Task[Any], ...]:
    """Start all; when the first is done the others are cancelled and waited for. The tasks, in the given order."""
    tasks = tuple(asyncio.create_task(work) for work in works)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*(task for task in tasks if not task.done()))
    return tasks


@frozen
class WorkLocks:
    """Who may move a trip or a lease now: one process, one task."""

    locks: Locks
    poller: Poller

    @contextmanager
    def lock_trip(self, trip: str) -> Iterator[None]:
        """Keep a trip for this process; held by another: `BusyError`."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.locks.hold(trip))
            except BusyError as error:
                raise BusyError(
                    _("{trip} is being worked on by process {holder}").format(trip=trip, holder=error.holder),
                    holder=error.holder,
                    hint=_("Wait for it, or end it; the job itself goes on either way."),
                ) from None
            yield

    def is_trip_locked(self, trip: str) -> bool:
        try:
            with self.locks.hold(trip):
                return False
        except BusyError:
            return True

    @asynccontextmanager
    async def lock_lease(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn at moving a lease, so that an order and a release of one machine never cross."""
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
                    _("{lease} is being worked on by process {holder}").format(lease=name, holder=holder),
                    holder=holder,
                    hint=_("Nothing was done. Wait for it, or end it, and try again."),
                )
            yield

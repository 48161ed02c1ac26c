"""Waiting: in provider time, in real time, and for background tasks that end with their block, or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar

from attrs import frozen

from gpurent.ports.system import Clock

T = TypeVar("T")
MIN_REAL_SECONDS = 30.0


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
        """Call ``check`` until it returns a value; None after ``timeout``. ``on_wait`` is called before each pause.

        What the checks themselves take counts too, once `MIN_REAL_SECONDS` are over: a clock that runs fast, as a
        sandbox's, leaves time for some checks.
        """
        loop = asyncio.get_running_loop()
        begun, waited, checked = loop.time(), timedelta(), timedelta()
        while True:
            asked_at = self.clock.now()
            if (found := await check()) is not None:
                return found
            checked += max(timedelta(), self.clock.now() - asked_at)
            counted = waited + checked if loop.time() - begun >= MIN_REAL_SECONDS else waited
            if timeout is not None and counted >= timeout:
                return None
            if on_wait is not None:
                await on_wait()
            await self.pause(interval, min_seconds)
            waited += interval


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


def start_detached(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run ``coroutine`` in a task that may outlive the locks around the caller, so that it holds none of them."""
    return asyncio.get_running_loop().create_task(coroutine, context=Context())

"""An event loop with virtual time: when no task can run, time jumps to the next timer.

`asyncio.sleep`, timeouts and a `ManualClock` share that time: an hour of the guard takes milliseconds, and the number
of steps does not depend on the load. Waiting for anything outside this loop must be declared with `real_time`: until it
ends, virtual time stops. Threads of the loop's executors do so by themselves.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, TypeVarTuple

from gpurent.testing.fakes.clock import ManualClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves with ``clock``.

    A test may advance the clock further, to simulate a computer that was asleep.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self._seconds = 0.0
        self._waiting_outside = 0
        super().__init__(_JumpingSelector(self._jump_ahead))

    def time(self) -> float:
        return self._seconds

    @contextmanager
    def real_time(self) -> Iterator[None]:
        """Stop virtual time in this block, which waits for something outside the loop; it must be sure to come."""
        self._waiting_outside += 1
        try:
            yield
        finally:
            self._waiting_outside -= 1

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        made = super().run_in_executor(executor, func, *args)
        self._waiting_outside += 1
        made.add_done_callback(self._on_executor_done)
        return made

    def _on_executor_done(self, _done: asyncio.Future[Any]) -> None:
        self._waiting_outside -= 1

    def _jump_ahead(self, limit: float | None) -> bool:
        """Jump to the next timer, at most ``limit`` seconds ahead. Return False if time must not or cannot jump."""
        if self._waiting_outside:
            return False
        ahead = self.clock.next_wakeup
        rest = None if ahead is None else (ahead - self.clock.now()).total_seconds()
        if ahead is not None and rest is not None and (limit is None or rest <= limit):
            self._seconds += rest
            self.clock.advance_to(ahead)
            return True
        if limit is None:
            return False
        self._seconds += limit
        self.clock.advance(timedelta(seconds=limit))
        return True


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that calls ``jump`` instead of waiting, where possible."""

    def __init__(self, jump: Callable[[float | None], bool]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        # While something outside is awaited, the loop's own timeouts must not expire.
        return [] if self._jump(timeout) else super().select(None)


@contextmanager
def real_time() -> Iterator[None]:
    """Apply `VirtualTimeLoop.real_time` of the running loop; does nothing in any other loop."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        with loop.real_time():
            yield
    else:
        yield


def virtual_clock() -> ManualClock:
    """Return the clock of the running `VirtualTimeLoop`."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError("this test needs the marker virtual_time")
    return loop.clock

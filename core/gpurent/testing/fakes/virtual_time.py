"""An event loop in which waiting takes no time: when nothing can go on, time jumps to what is waited for.

`asyncio.sleep`, time limits and a `ManualClock` share that time: an hour of a guard's life takes milliseconds, and as
many steps on a busy computer as on an idle one. Whatever is waited for outside this loop must say so (`real_time`):
as long as anything does, time stands still. Threads of the loop's executors say it by themselves.
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
    """``clock`` moves with it. The test itself may move the clock further ahead: a computer that was asleep."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self._seconds = 0.0
        self._waiting_outside = 0
        super().__init__(_JumpingSelector(self._jump_ahead))

    def time(self) -> float:
        return self._seconds

    @contextmanager
    def real_time(self) -> Iterator[None]:
        """In this block something outside is waited for that surely comes."""
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
        """Nothing can go on: move to what comes first, ``limit`` seconds ahead at the latest; False: impossible."""
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
    """Never waits as long as time can ``jump`` instead."""

    def __init__(self, jump: Callable[[float | None], bool]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        # A time limit of the loop's own must not run out while something outside works.
        return [] if self._jump(timeout) else super().select(None)


@contextmanager
def real_time() -> Iterator[None]:
    """`VirtualTimeLoop.real_time` of the loop that runs; in any other loop nothing."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        with loop.real_time():
            yield
    else:
        yield


def virtual_clock() -> ManualClock:
    """The clock of the `VirtualTimeLoop` that runs."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise RuntimeError("this test needs the marker virtual_time")
    return loop.clock

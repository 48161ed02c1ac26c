"""How much slower than idle this computer is now, and waits that last as much longer.

A test that waits for a real program cannot know how long that takes: twenty times as long on a computer with twenty
times the work. Limits here are in seconds of an idle computer; time passes the more slowly, the more there is to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from attrs import define, field

T = TypeVar("T")
LOOK_AGAIN = 0.03
"""Seconds between two looks at a condition that nothing announces."""
SCHEDULER = Path("/proc/self/schedstat")
"""Nanoseconds that we ran, and that we could have run and had no processor."""
_WORTH_COUNTING = 0.01


def processors() -> int:
    """How many of them this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


@define
class LoadMeter:
    """Measures from look to look: the load for each processor, and how long we ourselves waited for one."""

    _ran: float = 0.0
    _waited: float = 0.0

    def factor(self) -> float:
        """How many times as long as on an idle computer things take now; 1 at least."""
        return max(1.0, self._load() / processors(), self._own_wait())

    def _load(self) -> float:
        """Who wants to run: over the last minute, or at this very moment if that is more."""
        found = [0.0]
        with contextlib.suppress(OSError):
            found.append(os.getloadavg()[0])
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append(float(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))
        return max(found)

    def _own_wait(self) -> float:
        """The part of our time that we could run in, since the last look, as its inverse: a low priority shows here."""
        try:
            ran, waited = (int(text) / 1e9 for text in SCHEDULER.read_text().split()[:2])
        except (OSError, ValueError):
            return 1.0
        new_ran, new_waited = ran - self._ran, waited - self._waited
        self._ran, self._waited = ran, waited
        return (new_ran + new_waited) / new_ran if new_ran > _WORTH_COUNTING else 1.0


def factor() -> float:
    """How many times as long as on an idle computer things take now; 1 at least."""
    return LoadMeter().factor()


@define
class Deadline:
    """``seconds`` of an idle computer, counted from now on. Ask it now and then: it counts from look to look."""

    seconds: float
    used: float = 0.0
    _factor: Callable[[], float] = field(factory=lambda: LoadMeter().factor)
    _now: Callable[[], float] = time.monotonic
    _looked: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._looked = self._now()

    @property
    def over(self) -> bool:
        now = self._now()
        self.used += (now - self._looked) / self._factor()
        self._looked = now
        return self.used >= self.seconds


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 15) -> None:
    """Wait until ``condition`` is true; an `AssertionError` when it never is. For what no event announces."""
    deadline = Deadline(seconds)
    while not await condition():
        assert not deadline.over, "it did not happen in time"
        await asyncio.sleep(LOOK_AGAIN)


async def within(seconds: float, work: Awaitable[T]) -> T:
    """The result of ``work``, as `asyncio.wait_for` gives it, with a limit that grows with the load."""
    task, deadline = asyncio.ensure_future(work), Deadline(seconds)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=min(1.0, seconds / 4))
            if not task.done() and deadline.over:
                raise TimeoutError(f"not done within {seconds:g} s of an idle computer")
    finally:
        task.cancel()
        await asyncio.wait({task})
    return task.result()

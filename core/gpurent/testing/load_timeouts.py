"""The computer's load compared with an idle one, and timeouts that grow with it.

A test that waits for a real program cannot know how long that takes: with twenty times the load it takes twenty times
as long. Limits here are in seconds on an idle computer; the higher the load, the slower they count.
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
POLL_SECONDS = 0.03
"""Seconds between two checks of a condition that has no event."""
SCHEDSTAT_FILE = Path("/proc/self/schedstat")
"""Nanoseconds that this process ran, and that it was runnable but had no CPU."""
_MIN_RUN_SECONDS = 0.01
USUAL_LOAD = 3.0
"""The load of a test run by itself, for which the speeds of its sandboxes are chosen."""
MIN_SPEED = 25
"""How fast a sandbox stays, however high the load is; see `adapt_speed`."""


def count_processors() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


@define
class LoadMeter:
    """Measures the load per CPU, and since the last measurement how long this process waited for a CPU."""

    _last_run_time: float = 0.0
    _last_wait_time: float = 0.0

    def measure_factor(self) -> float:
        """Return how many times longer things take now than on an idle computer; at least 1."""
        return max(1.0, self._system_load() / count_processors(), self._scheduling_delay())

    def _system_load(self) -> float:
        """Return the number of runnable tasks: the one-minute average or the current number, whichever is larger."""
        found = [0.0]
        with contextlib.suppress(OSError):
            found.append(os.getloadavg()[0])
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append(float(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))
        return max(found)

    def _scheduling_delay(self) -> float:
        """Return runnable time divided by time on a CPU, since the last call; a low priority shows here."""
        try:
            ran, waited = (int(text) / 1e9 for text in SCHEDSTAT_FILE.read_text().split()[:2])
        except (OSError, ValueError):
            return 1.0
        new_ran, new_waited = ran - self._last_run_time, waited - self._last_wait_time
        self._last_run_time, self._last_wait_time = ran, waited
        return (new_ran + new_waited) / new_ran if new_ran > _MIN_RUN_SECONDS else 1.0


def load_factor() -> float:
    """Return how many times longer things take now than on an idle computer; at least 1."""
    return LoadMeter().measure_factor()


def adapt_speed(speed: int) -> int:
    """Return the speed of a sandbox at which programs do as much in the sandbox's time as on an idle computer.

    Services' deadlines are in the sandbox's time, and this computer's work is not. A few tests at once are no load.
    """
    return max(min(speed, MIN_SPEED), int(speed / max(1.0, load_factor() / USUAL_LOAD)))


@define
class LoadDeadline:
    """A deadline ``seconds`` (on an idle computer) from now.

    Check it regularly: time is scaled by the load at each check.
    """

    seconds: float
    used: float = 0.0
    _factor: Callable[[], float] = field(factory=lambda: LoadMeter().measure_factor)
    _now: Callable[[], float] = time.monotonic
    _last_check: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._last_check = self._now()

    @property
    def is_over(self) -> bool:
        now = self._now()
        self.used += (now - self._last_check) / self._factor()
        self._last_check = now
        return self.used >= self.seconds


async def wait_until(condition: Callable[[], Awaitable[object]], seconds: float = 15) -> None:
    """Poll ``condition`` until it is true; for conditions that have no event. Raises ``AssertionError`` on timeout."""
    deadline = LoadDeadline(seconds)
    while not await condition():
        assert not deadline.is_over, "it did not happen in time"
        await asyncio.sleep(POLL_SECONDS)


async def wait_within(seconds: float, work: Awaitable[T]) -> T:
    """Return the result of ``work``, as `asyncio.wait_for` does, with a timeout that grows with the load."""
    task, deadline = asyncio.ensure_future(work), LoadDeadline(seconds)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=min(1.0, seconds / 4))
            if not task.done() and deadline.is_over:
                raise TimeoutError(f"not done within {seconds:g} s of an idle computer")
    finally:
        task.cancel()
        await asyncio.wait({task})
    return task.result()

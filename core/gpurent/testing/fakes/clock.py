"""A clock that only advances when a test moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

START = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)
T = TypeVar("T")


def _wall_now() -> datetime:
    return datetime.now(UTC)


class ManualClock:
    """A manual clock; implements `gpurent.ports.system.Clock`. No real time passes.

    By default a sleeper waits until a test calls `advance`. With ``eager``, every sleep moves the clock to its end and
    returns at once, for tests in which one task at a time sleeps. ``wall`` returns the wall-clock time; whatever it
    returns corresponds to this clock's current time.
    """

    def __init__(
        self, start: datetime = START, *, eager: bool = False, wall: Callable[[], datetime] = _wall_now
    ) -> None:
        self._now = start
        self._eager = eager
        self._wall_now = wall
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def from_wall_time(self, at: datetime) -> datetime:
        """Convert a wall-clock time to this clock's time."""
        return self._now + (at - self._wall_now())

    def to_wall_time(self, at: datetime) -> datetime:
        """Convert a time of this clock to wall-clock time."""
        return self._wall_now() + (at - self._now)

    @property
    def sleeper_count(self) -> int:
        """Number of tasks that sleep now."""
        return len(self._sleepers)

    @property
    def next_wakeup(self) -> datetime | None:
        """When the next sleeper wakes; None if nobody sleeps."""
        return min((end for end, _future in self._sleepers), default=None)

    async def sleep(self, span: timedelta) -> None:
        if self._eager:
            self.advance(span)
        if self._eager or span <= timedelta():
            await asyncio.sleep(0)
            return
        sleeper = (self._now + span, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        self._notify_watchers()
        try:
            await sleeper[1]
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, span: timedelta) -> None:
        """Advance by ``span`` and wake the sleepers that are due, earliest first. The clock never goes back."""
        self._now += max(span, timedelta())
        due = sorted((s for s in self._sleepers if s[0] <= self._now), key=lambda s: s[0])
        for sleeper in due:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)

    def advance_to(self, at: datetime) -> None:
        """Advance to ``at``; a time in the past changes nothing."""
        self.advance(at - self._now)

    def advance_to_next(self) -> None:
        """Advance to the end of the shortest sleep; does nothing if nobody sleeps."""
        if (end := self.next_wakeup) is not None:
            self.advance_to(end)

    async def wait_for_sleepers(self, count: int = 1) -> None:
        """Return as soon as ``count`` tasks sleep on this clock. Does not poll, and has no time limit."""
        if len(self._sleepers) >= count:
            return
        watcher = (count, asyncio.get_running_loop().create_future())
        self._watchers.append(watcher)
        try:
            await watcher[1]
        finally:
            self._watchers.remove(watcher)

    async def drive(self, work: Awaitable[T]) -> T:
        """Return the result of ``work``; whenever a task sleeps, the clock jumps to the end of the shortest sleep."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                asleep = asyncio.ensure_future(self.wait_for_sleepers())
                await asyncio.wait({task, asleep}, return_when=asyncio.FIRST_COMPLETED)
                asleep.cancel()
                if not task.done():
                    self.advance_to_next()
                    # Let the woken task run before the next one is woken.
                    await asyncio.sleep(0)
        finally:
            task.cancel()
        return await task

    def _notify_watchers(self) -> None:
        for count, future in self._watchers:
            if len(self._sleepers) >= count and not future.done():
                future.set_result(None)

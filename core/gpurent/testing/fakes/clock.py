"""A clock that stands still until a test moves it."""

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
    """Implements `gpurent.ports.system.Clock`. No real time passes in it.

    Plain: a sleeper waits until a test calls `advance`. ``eager``: every sleep moves the clock to its own end and
    returns at once, for tests in which one task at a time waits. ``wall`` gives the computer's own time; whatever
    it shows is this clock's present.
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
        """The time of this clock when the wall's was ``at``."""
        return self._now + (at - self._wall_now())

    def to_wall_time(self, at: datetime) -> datetime:
        """The wall's time when this clock shows ``at``."""
        return self._wall_now() + (at - self._now)

    @property
    def sleeper_count(self) -> int:
        """How many wait now."""
        return len(self._sleepers)

    @property
    def next_wakeup(self) -> datetime | None:
        """When the shortest sleep ends; None: nobody sleeps."""
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
        """Move ahead; who has slept long enough wakes, the earliest first. The clock never goes back."""
        self._now += max(span, timedelta())
        due = sorted((s for s in self._sleepers if s[0] <= self._now), key=lambda s: s[0])
        for sleeper in due:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)

    def advance_to(self, at: datetime) -> None:
        """Move ahead to ``at``; a time that has passed changes nothing."""
        self.advance(at - self._now)

    def advance_to_next(self) -> None:
        """Move ahead to the end of the shortest sleep; nobody sleeps: nothing happens."""
        if (end := self.next_wakeup) is not None:
            self.advance_to(end)

    async def wait_for_sleepers(self, count: int = 1) -> None:
        """Return as soon as ``count`` tasks sleep here. Polls nothing and takes as long as it takes."""
        if len(self._sleepers) >= count:
            return
        watcher = (count, asyncio.get_running_loop().create_future())
        self._watchers.append(watcher)
        try:
            await watcher[1]
        finally:
            self._watchers.remove(watcher)

    async def drive(self, work: Awaitable[T]) -> T:
        """The result of ``work``; whenever somebody sleeps, the clock jumps to the end of the shortest sleep."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                asleep = asyncio.ensure_future(self.wait_for_sleepers())
                await asyncio.wait({task, asleep}, return_when=asyncio.FIRST_COMPLETED)
                asleep.cancel()
                if not task.done():
                    self.advance_to_next()
                    # Let who was woken go on before somebody else's time comes.
                    await asyncio.sleep(0)
        finally:
            task.cancel()
        return await task

    def _notify_watchers(self) -> None:
        for count, future in self._watchers:
            if len(self._sleepers) >= count and not future.done():
                future.set_result(None)

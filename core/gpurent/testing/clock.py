"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)


class ManualClock:
    """Implements `gpurent.ports.clock.Clock`. ``eager``: every sleep moves the clock itself and returns at once."""

    def __init__(self, start: datetime = START, *, eager: bool = False) -> None:
        self._now = start
        self._eager = eager
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    @property
    def sleepers(self) -> int:
        """How many wait now."""
        return len(self._sleepers)

    async def sleep(self, span: timedelta) -> None:
        if self._eager:
            self.advance(span)
        if self._eager or span <= timedelta():
            await asyncio.sleep(0)
            return
        sleeper = (self._now + span, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, span: timedelta) -> None:
        """Move ahead; who has slept long enough wakes, the earliest first."""
        self._now += max(span, timedelta())
        due = sorted((s for s in self._sleepers if s[0] <= self._now), key=lambda s: s[0])
        for sleeper in due:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)

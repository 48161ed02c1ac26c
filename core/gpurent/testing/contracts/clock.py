"""Contract tests for `gpurent.ports.system.Clock`: the wall clock, the sandbox's clock and an eager manual clock."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from gpurent.ports.system import Clock
from gpurent.testing.contracts.contract import Contract

SHORT_SPAN = timedelta(milliseconds=20)


class TranslatingClock(Clock, Protocol):
    """A clock that also converts to and from wall-clock time, as core requires."""

    def from_wall_time(self, at: datetime) -> datetime: ...
    def to_wall_time(self, at: datetime) -> datetime: ...


class ClockContract(Contract):
    """Contract tests for a clock; a subclass implements `make_clock`."""

    @abstractmethod
    def make_clock(self, folder: Path) -> TranslatingClock:
        """Return a clock whose sleepers wake without help; ``folder`` is the test's own."""

    async def test_now_is_utc_and_never_goes_back(self, tmp_path: Path) -> None:
        clock = self.make_clock(tmp_path)
        before = clock.now()
        assert before.utcoffset() == timedelta()
        await clock.sleep(SHORT_SPAN)
        assert clock.now() >= before

    async def test_at_least_the_span_passes(self, tmp_path: Path) -> None:
        clock = self.make_clock(tmp_path)
        before = clock.now()
        await clock.sleep(SHORT_SPAN)
        assert clock.now() - before >= SHORT_SPAN

    async def test_no_time_is_a_sleep_too(self, tmp_path: Path) -> None:
        clock = self.make_clock(tmp_path)
        others: list[object] = []
        task = asyncio.ensure_future(asyncio.sleep(0))
        task.add_done_callback(others.append)
        for span in (timedelta(), timedelta(days=-1)):
            await clock.sleep(span)
        await asyncio.sleep(0)
        assert others, "the others had their turn"

    async def test_system_time_now_is_clock_time_now(self, tmp_path: Path) -> None:
        clock = self.make_clock(tmp_path)
        slack = timedelta(hours=1)
        assert abs(clock.from_wall_time(datetime.now(UTC)) - clock.now()) < slack
        assert abs(clock.to_wall_time(clock.now()) - datetime.now(UTC)) < slack
        later = clock.now() + timedelta(days=1)
        assert abs(clock.from_wall_time(clock.to_wall_time(later)) - later) < slack

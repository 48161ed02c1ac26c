"""All clocks fulfil the same contract; the manual one advances when a test says so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpurent.infra.clock import WallClock
from gpurent.testing.contracts.clock import ClockContract, TranslatingClock
from gpurent.testing.fakes import START, ManualClock
from gpurent.testing.sandbox.clock import SandboxClock

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class TestWallClock(ClockContract):
    def make_clock(self, folder: Path) -> TranslatingClock:
        return WallClock()


class TestSandboxClock(ClockContract):
    def make_clock(self, folder: Path) -> TranslatingClock:
        clock = SandboxClock(folder / "clock.json", speed=60)
        clock.start()
        return clock


class TestManualClock(ClockContract):
    def make_clock(self, folder: Path) -> TranslatingClock:
        return ManualClock(eager=True)


async def test_sleepers_wake_in_order_and_only_when_due() -> None:
    clock, woken = ManualClock(), []

    async def wait(minutes: int) -> None:
        await clock.sleep(minutes * MINUTE)
        woken.append(minutes)

    async with asyncio.TaskGroup() as group:
        for minutes in (30, 10, 20, 90):
            group.create_task(wait(minutes))
        await clock.wait_for_sleepers(4)
        clock.advance(25 * MINUTE)
        clock.advance(-DAY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woken == [10, 20]
        assert clock.sleeper_count == 2
        clock.advance_to_next()
        assert clock.now() == START + 30 * MINUTE
        clock.advance_to(START + 120 * MINUTE)
        clock.advance_to(START)
    assert woken == [10, 20, 30, 90]
    assert clock.now() == START + 120 * MINUTE
    assert clock.sleeper_count == 0
    clock.advance_to_next()


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(clock.sleep(DAY), 0.01)
    assert clock.sleeper_count == 0
    clock.advance(2 * DAY)


async def test_waiting_for_sleepers_returns_when_the_last_of_them_sleeps() -> None:
    clock = ManualClock()
    watcher = asyncio.ensure_future(clock.wait_for_sleepers(2))
    first = asyncio.ensure_future(clock.sleep(MINUTE))
    await clock.wait_for_sleepers()
    assert not watcher.done()
    second = asyncio.ensure_future(clock.sleep(DAY))
    await watcher
    clock.advance(DAY)
    await asyncio.gather(first, second)


async def test_the_eager_clock_moves_by_itself() -> None:
    clock = ManualClock(eager=True)
    await clock.sleep(DAY)
    assert clock.now() == START + DAY


async def test_a_driven_task_finds_its_time_passed_whenever_it_sleeps() -> None:
    clock = ManualClock()

    async def poll() -> datetime:
        for _attempt in range(1000):
            await clock.sleep(MINUTE)
        return clock.now()

    async def sleep_ten_minutes() -> None:
        await clock.sleep(10 * MINUTE)

    other = asyncio.ensure_future(sleep_ten_minutes())
    assert await clock.drive(poll()) == START + 1000 * MINUTE
    await other

    async def fails() -> None:
        await clock.sleep(MINUTE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await clock.drive(fails())


def test_system_time_can_be_set_by_a_test() -> None:
    wall = datetime(2030, 1, 1, tzinfo=UTC)
    clock = ManualClock(wall=lambda: wall)
    assert clock.from_wall_time(wall - MINUTE) == START - MINUTE
    clock.advance(DAY)
    assert clock.to_wall_time(START + DAY) == wall
    assert clock.from_wall_time(wall) == START + DAY

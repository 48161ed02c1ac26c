"""The provider's time: real, scaled through the sandbox's file, or set manually."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpurent.errors import UsageError
from gpurent.infra.clock import MIN_SLEEP, ClockScale, ScaledClock, WallClock, make_clock
from gpurent.infra.platform.posix.system import write_private_file
from gpurent.ports.system import Clock
from gpurent.testing.sandbox.clock import SandboxClock

DAY = timedelta(days=1)


@pytest.fixture
def sandbox(tmp_path: Path) -> SandboxClock:
    clock = SandboxClock(tmp_path / "clock.json", speed=600)
    clock.start()
    return clock


def is_near(left: datetime, right: datetime, seconds: float) -> bool:
    return abs((left - right).total_seconds()) <= seconds


def test_default_clock_is_the_system_time() -> None:
    clock: Clock = make_clock("")
    assert isinstance(clock, WallClock)
    assert is_near(clock.now(), datetime.now(UTC), 1)
    assert clock.now().utcoffset() == timedelta()


@pytest.mark.parametrize("text", ["file:", "scaled:1", "/etc/passwd", "wall"])
def test_an_unknown_setting_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="GPURENT_CLOCK"):
        make_clock(text)


def test_the_file_s_clock_runs_as_fast_as_it_says(sandbox: SandboxClock) -> None:
    clock = make_clock(f"file:{sandbox.path}")
    assert isinstance(clock, ScaledClock)
    real, sandbox_time = time.monotonic(), clock.now()
    time.sleep(0.2)
    ratio = (clock.now() - sandbox_time).total_seconds() / (time.monotonic() - real)
    assert 300 < ratio < 1200
    assert clock.now().utcoffset() == timedelta()


def test_a_jump_is_seen_by_a_clock_that_is_already_open(sandbox: SandboxClock) -> None:
    clock = make_clock(f"file:{sandbox.path}")
    before = clock.now()
    for days in (15, 1, 1):
        sandbox.advance(days * DAY)
        assert is_near(clock.now(), sandbox.now(), 600)
    assert is_near(clock.now(), before + 17 * DAY, 6000)
    with pytest.raises(ValueError, match="does not go back"):
        sandbox.advance(-DAY)


def test_the_client_s_clock_may_be_wrong(sandbox: SandboxClock) -> None:
    clock = make_clock(f"file:{sandbox.client_path}")
    assert is_near(clock.now(), sandbox.now(), 600)
    for minutes in (4, -12, 0):
        sandbox.set_client_error(timedelta(minutes=minutes))
        before = sandbox.now()
        shown = clock.now() - timedelta(minutes=minutes)
        assert before <= shown <= sandbox.now()
    sandbox.set_client_error(DAY)
    sandbox.advance(DAY)
    assert is_near(clock.now(), sandbox.now() + DAY, 600)


def test_from_wall_translates_a_time_of_this_computer(tmp_path: Path) -> None:
    wall, sandbox_time = datetime(2026, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    write_private_file(
        tmp_path / "c", ClockScale(wall_start=wall, provider_start=sandbox_time, speed=60).to_json()
    )
    clock = make_clock(f"file:{tmp_path / 'c'}")
    assert clock.from_wall_time(wall + timedelta(minutes=1)) == sandbox_time + timedelta(hours=1)
    assert clock.to_wall_time(sandbox_time + timedelta(hours=1)) == wall + timedelta(minutes=1)
    assert WallClock().from_wall_time(wall) == WallClock().to_wall_time(wall) == wall


async def test_sleep_takes_the_span_divided_by_the_speed(sandbox: SandboxClock) -> None:
    started, sandbox_time = time.monotonic(), sandbox.now()
    await sandbox.sleep(timedelta(minutes=2))
    assert 0.19 < time.monotonic() - started < 1.5
    assert sandbox.now() - sandbox_time >= timedelta(minutes=2)


@pytest.mark.parametrize("span", [timedelta(), timedelta(seconds=-5), timedelta(milliseconds=1)])
async def test_polling_never_spins(sandbox: SandboxClock, span: timedelta) -> None:
    started = time.monotonic()
    for _attempt in range(5):
        await sandbox.sleep(span)
    assert time.monotonic() - started >= 5 * MIN_SLEEP * 0.9


async def test_a_sleeper_wakes_when_the_sandbox_jumps_over_its_time(sandbox: SandboxClock) -> None:
    started = time.monotonic()
    sleeper = asyncio.create_task(sandbox.sleep(10 * DAY))  # 24 real minutes
    await asyncio.sleep(0.05)
    assert not sleeper.done()
    sandbox.advance(15 * DAY)
    await asyncio.wait_for(sleeper, 10)
    assert time.monotonic() - started < 10


BROKEN_FILES = [
    "",
    "[]",
    "{}",
    "null",
    '{"wall": 1, "shown": 2, "speed": 3}',
    '{"wall": "2026-01-01", "shown": "2026-01-01T00:00:00+00:00", "speed": 60}',
    '{"wall": "2026-01-01T00:00:00+00:00", "shown": "2026-01-01T00:00:00+00:00", "speed": 0}',
    '{"wall": "2026-01-01T00:00:00+00:00", "shown": "2026-01-01T00:00:00+00:00", "speed": "60"}',
]


@pytest.mark.parametrize("text", BROKEN_FILES)
def test_a_broken_clock_file_says_that_the_sandbox_is_gone(tmp_path: Path, text: str) -> None:
    (tmp_path / "clock.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        make_clock(f"file:{tmp_path / 'clock.json'}").now()
    assert "sandbox status" in caught.value.hint


def test_missing_clock_file_is_reported_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        make_clock(f"file:{tmp_path / 'none'}").now()

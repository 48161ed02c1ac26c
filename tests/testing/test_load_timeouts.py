"""Time that passes more slowly the more a computer has to do; and tests that hang."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpurent.testing import load_timeouts
from gpurent.testing.load_timeouts import LoadDeadline, wait_until, wait_within
from gpurent.testing.time_limit import EXIT_CODE


class SettableClock:
    """A monotonic clock set by the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_counts_busy_time_for_less() -> None:
    seconds, factors = SettableClock(), iter([1.0, 20.0, 20.0])
    deadline = LoadDeadline(10, factor=lambda: next(factors), now=seconds)
    seconds.now = 8
    assert not deadline.is_over
    seconds.now = 8 + 39
    assert not deadline.is_over
    assert deadline.used == pytest.approx(8 + 39 / 20)
    seconds.now = 8 + 41
    assert deadline.is_over


def test_the_factor_follows_the_load_and_is_never_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_timeouts, "count_processors", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (40.0, 0.0, 0.0))
    assert load_timeouts.load_factor() >= 20
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert load_timeouts.load_factor() >= 1


def test_process_delayed_by_others_has_more_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At a low priority it waits long even if the run queue is short."""
    meter = load_timeouts.LoadMeter()
    monkeypatch.setattr(load_timeouts.LoadMeter, "_system_load", lambda _meter: 0.0)
    monkeypatch.setattr(load_timeouts, "SCHEDSTAT_FILE", tmp_path / "schedstat")
    (tmp_path / "schedstat").write_text("1000000000 0 5\n")
    assert meter.measure_factor() == 1
    (tmp_path / "schedstat").write_text("2000000000 9000000000 5\n")
    assert meter.measure_factor() == pytest.approx(10)
    (tmp_path / "schedstat").write_text("3000000000 9000000000 5\n")
    assert meter.measure_factor() == 1
    (tmp_path / "schedstat").write_text("not here")
    assert meter.measure_factor() == 1


async def test_eventually_returns_as_soon_as_it_is_so() -> None:
    results = iter([False, False, True])

    async def next_result() -> bool:
        return next(results)

    await wait_until(next_result)
    with pytest.raises(AssertionError, match="in time"):
        await wait_until(lambda: asyncio.sleep(0, False), seconds=0.01)


async def test_within_gives_the_result_or_ends_the_work() -> None:
    assert await wait_within(5, asyncio.sleep(0, "result")) == "result"
    hanging = asyncio.ensure_future(asyncio.Event().wait())
    with pytest.raises(TimeoutError):
        await wait_within(0.02, hanging)
    assert hanging.cancelled()
    with pytest.raises(ZeroDivisionError):
        await wait_within(5, _raise_error())


async def _raise_error() -> None:
    raise ZeroDivisionError


def run_pytest(tmp_path: Path, text: str, limit: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(text)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\ntime_limit = {limit}\nasyncio_mode = auto\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "gpurent.testing.time_limit", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


HANGING_TEST = """
import asyncio, threading, time, pytest

def test_hangs():
    threading.Thread(target=time.sleep, args=(5,), name="bystander", daemon=True).start()
    threading.Event().wait()

async def waits_for_ever():
    await asyncio.Event().wait()

async def test_hangs_in_a_loop():
    await asyncio.ensure_future(waits_for_ever())

@pytest.mark.timeout(0)
def test_may_take_long():
    time.sleep(1.5)

def test_next_one_runs():
    pass
"""


@pytest.mark.nightly
def test_a_hung_test_fails_where_it_hangs_and_the_next_one_runs(tmp_path: Path) -> None:
    started = time.monotonic()
    ran = run_pytest(tmp_path, HANGING_TEST, "0.5")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "2 failed, 2 passed" in ran.stdout
    assert "test_hangs took more than 0.5 s of an idle computer" in ran.stdout
    assert "thread bystander:" in ran.stdout
    assert "waits_for_ever" in ran.stdout
    assert "threading.Event().wait()" in ran.stdout
    assert time.monotonic() - started < 100


UNSTOPPABLE_TEST = """
import time

def test_does_not_stop():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""


def test_a_test_that_cannot_be_stopped_takes_its_process_with_it(tmp_path: Path) -> None:
    text = UNSTOPPABLE_TEST.replace(
        "import time", "import time\nfrom gpurent.testing import time_limit\ntime_limit.GRACE_SECONDS = 0.1"
    )
    ran = run_pytest(tmp_path, text, "0.2")
    assert ran.returncode == EXIT_CODE, ran.stdout + ran.stderr
    assert "cannot be stopped" in ran.stderr
    assert "in test_does_not_stop" in ran.stderr

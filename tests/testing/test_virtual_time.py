"""The event loop in which waiting takes no time, and the clock that several processes share."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gpurent.testing.fakes.clock import START, ManualClock
from gpurent.testing.fakes.shared_clock import share_clock
from gpurent.testing.fakes.virtual_time import VirtualTimeLoop, real_time, virtual_clock

T = TypeVar("T")
HOUR = timedelta(hours=1)


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def test_sleeps_of_the_loop_and_of_its_clock_are_one_time() -> None:
    async def work() -> list[tuple[str, timedelta]]:
        clock, woken = virtual_clock(), list[tuple[str, timedelta]]()

        async def by_loop() -> None:
            await asyncio.sleep(1800)
            woken.append(("loop", clock.now() - START))

        async def by_clock() -> None:
            await clock.sleep(HOUR)
            woken.append(("clock", clock.now() - START))

        await asyncio.gather(by_clock(), by_loop())
        assert asyncio.get_running_loop().time() == 3600
        return woken

    started = time.monotonic()
    assert run_virtual(work()) == [("loop", HOUR / 2), ("clock", HOUR)]
    assert time.monotonic() - started < 60


def test_a_time_limit_passes_on_the_clock() -> None:
    async def work() -> timedelta:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7200):
                await asyncio.Event().wait()
        return virtual_clock().now() - START

    assert run_virtual(work()) == 2 * HOUR


def test_advancing_the_clock_does_not_advance_the_loop() -> None:
    """A jump of the clock, as after the computer was asleep: the loop's own time does not change."""

    async def work() -> float:
        clock = virtual_clock()
        sleeping = asyncio.create_task(clock.sleep(HOUR))
        await asyncio.sleep(0)
        clock.advance(24 * HOUR)
        await sleeping
        return asyncio.get_running_loop().time()

    assert run_virtual(work()) == 0


def test_time_stands_still_while_a_thread_works() -> None:
    async def work() -> timedelta:
        sleeping = asyncio.create_task(virtual_clock().sleep(HOUR))
        await asyncio.to_thread(time.sleep, 0.05)
        assert not sleeping.done()
        passed = virtual_clock().now() - START
        await sleeping
        return passed

    assert run_virtual(work()) == timedelta()


def test_time_stands_still_while_something_outside_is_waited_for() -> None:
    async def work() -> timedelta:
        sleeping = asyncio.create_task(virtual_clock().sleep(HOUR))
        with real_time():
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('done')", stdout=-1)
            out, _err = await process.communicate()
        assert out == b"done\n"
        passed = virtual_clock().now() - START
        await sleeping
        return passed

    assert run_virtual(work()) == timedelta()


async def test_any_other_loop_knows_no_virtual_time() -> None:
    with real_time():
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        virtual_clock()


async def test_a_process_that_moves_a_shared_clock_moves_it_for_all(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "clock"
    sleeping = asyncio.create_task(clock.sleep(HOUR))
    program = (
        "import sys; from datetime import timedelta; from pathlib import Path\n"
        "from gpurent.testing.fakes.shared_clock import SharedClockClient\n"
        "clock = SharedClockClient(Path(sys.argv[1])); clock.advance(timedelta(hours=2)); print(clock.now())\n"
    )
    async with share_clock(clock, path):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(path), stdout=asyncio.subprocess.PIPE
        )
        out, _err = await process.communicate()
        await sleeping
    assert out.decode().strip() == str(START + 2 * HOUR)
    assert clock.now() == START + 2 * HOUR

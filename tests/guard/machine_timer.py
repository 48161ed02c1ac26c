"""The timer inside a fake machine, on the test's clock: the real timer uses this computer's time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from gpurent.remote.timer_script import TIMER_DIR, UPTIME
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.fakes.virtual_time import real_time, virtual_clock


async def run_machine_timer(machine: FakeMachine) -> None:
    """Stop ``machine`` when the deadline written in it passes, as its own timer would.

    It is read every minute. A deadline counts from when it was first seen, by its distance from the uptime at that
    time.
    """
    clock, written, due = virtual_clock(), "", _no_deadline()
    while machine.alive:
        deadline = machine.home / TIMER_DIR / "deadline"
        text = deadline.read_text() if deadline.exists() else ""
        if text != written:
            written, due = text, _no_deadline()
            if text:
                due = clock.now() + _time_until(text)
        if due <= clock.now():
            with real_time():
                await machine.stop()
            return
        await clock.sleep(timedelta(minutes=1))


def _time_until(deadline: str) -> timedelta:
    """Return the time until a deadline, which is written in this computer's uptime."""
    uptime = float(Path(UPTIME).read_text().split()[0])
    return timedelta(seconds=round(int(deadline.split(maxsplit=1)[0]) / 100 - uptime))


def _no_deadline() -> datetime:
    """Return a time that is never reached."""
    return datetime.max.replace(tzinfo=virtual_clock().now().tzinfo)

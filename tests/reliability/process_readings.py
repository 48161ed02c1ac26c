"""What a process holds: descriptors, children, zombies and memory; and which processes a folder's owner still has."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import psutil
from attrs import fields_dict, frozen

from gpurent.testing.load_timeouts import LoadDeadline
from tests.reliability.judge import Loss

MAX_MEMORY_GROWTH_PERCENT = 5
READING_INTERVAL = 0.25
_MEBIBYTE = 1 << 20


@frozen(kw_only=True)
class ProcessReading:
    """What a process holds at one moment; ``processes``: its living descendants; ``memory``: resident, in bytes."""

    descriptors: int
    processes: int
    zombies: int
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.processes} processes, {self.zombies} zombies,"
            f" {self.memory / _MEBIBYTE:.1f} MiB"
        )


def read_process(pid: int) -> ProcessReading:
    """Read what the process holds. Raises `psutil.NoSuchProcess` if it is gone."""
    process = psutil.Process(pid)
    below = [_is_zombie(child) for child in process.children(recursive=True)]
    return ProcessReading(
        descriptors=process.num_fds(),
        processes=below.count(False),
        zombies=below.count(True),
        memory=process.memory_info().rss,
    )


def _is_zombie(process: psutil.Process) -> bool | None:
    """None: it has ended since it was listed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return None


async def read_at_rest(pid: int, seconds: float) -> ProcessReading:
    """Return the least of the readings of some seconds: what it holds while it waits, not while it works."""
    readings = [read_process(pid)]
    while len(readings) <= seconds / READING_INTERVAL:
        await asyncio.sleep(READING_INTERVAL)
        readings.append(read_process(pid))
    return find_least(readings)


async def read_until_less(pid: int, early: ProcessReading, seconds: float) -> ProcessReading:
    """Return the least of the readings until it shows no leak since ``early``, for at most ``seconds`` (if idle)."""
    found, deadline = read_process(pid), LoadDeadline(seconds)
    while find_leaks(early, found) and not deadline.is_over:
        await asyncio.sleep(READING_INTERVAL)
        found = find_least((found, read_process(pid)))
    return found


def find_least(readings: Sequence[ProcessReading]) -> ProcessReading:
    """Return the least value of each field."""
    names = fields_dict(ProcessReading)
    return ProcessReading(**{name: min(getattr(one, name) for one in readings) for name in names})


def find_leaks(early: ProcessReading, late: ProcessReading) -> list[Loss]:
    """Return what a process holds later without need: one that does the same work all the time needs no more of it."""
    has_grown = {
        "descriptors": late.descriptors > early.descriptors,
        "processes": late.processes > early.processes,
        "zombies": late.zombies > 0,
        "memory": 100 * (late.memory - early.memory) >= MAX_MEMORY_GROWTH_PERCENT * early.memory,
    }
    return [
        Loss(kind="leak", text=f"{name}: {early}, then {late}") for name, grown in has_grown.items() if grown
    ]


def list_processes(folder: Path) -> list[str]:
    """Return the living processes that work in ``folder`` or were given it: pid and command line.

    This process is left out: the sandbox's services live in it.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and _belongs_to(process, str(folder)):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


def _belongs_to(process: psutil.Process, folder: str) -> bool:
    texts = [*process.environ().values(), *process.cmdline()]
    # A process that was forked has the environment of its parent, but works in a folder of its own.
    return process.cwd().startswith(folder) or any(folder in text for text in texts)

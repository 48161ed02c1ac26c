"""A short soak, and the checks of a soak on a process that leaks."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.process_readings import find_leaks, list_processes, read_at_rest, read_until_less
from tests.reliability.providers import list_testable_providers
from tests.reliability.soaks import SoakPlan, soak_provider

SHORT = SoakPlan(hours=3, machines=6, clients=3, kept=1, warm_up=1, rest_seconds=1)
LEAKING_PROGRAM = """
import os, subprocess, sys
kept = []
for line in sys.stdin:
    if line == "descriptors\\n":
        kept += [open(os.devnull) for _number in range(3)]
    if line == "memory\\n":
        kept.append(bytes(range(256)) * 20000 * 4)
    if line == "zombies\\n":
        os.waitid(os.P_PID, os.fork() or os._exit(0), os.WEXITED | os.WNOWAIT)
    if line == "processes\\n":
        kept.append(subprocess.Popen(["sleep", "60"]))
    print("done", flush=True)
"""


@pytest.mark.nightly
async def test_three_hours_leave_nothing_behind() -> None:
    provider = next(provider for provider in list_testable_providers() if provider.restarts)
    result = await soak_provider(provider, SHORT, random.Random("short"))
    assert not result.losses, "\n".join([*map(str, result.losses), *result.history])


@pytest.fixture
def leaking_process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in ``tmp_path`` that leaks what it is told to, a line each, and answers each line."""
    command = [sys.executable, "-c", LEAKING_PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe) as process:
        tell(process, "nothing")
        yield process
        for line in list_processes(tmp_path):
            subprocess.run(["kill", line.split()[0]], check=True)


def tell(process: subprocess.Popen[bytes], what: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n".encode())
    process.stdin.flush()
    assert process.stdout.readline() == b"done\n"


@pytest.mark.parametrize("what", ["descriptors", "memory", "zombies", "processes"])
async def test_a_leak_is_found(leaking_process: subprocess.Popen[bytes], what: str) -> None:
    early = await read_at_rest(leaking_process.pid, 0)
    tell(leaking_process, "nothing")
    assert find_leaks(early, await read_at_rest(leaking_process.pid, 0)) == []
    tell(leaking_process, what)
    found = find_leaks(early, await read_until_less(leaking_process.pid, early, 0.5))
    assert [(loss.kind, loss.text.partition(":")[0]) for loss in found] == [("leak", what)]


def test_a_process_that_stays_is_found(leaking_process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    tell(leaking_process, "processes")
    left = list_processes(tmp_path)
    assert len(left) == 2
    assert "sleep 60" in left[1]
    assert list_processes(tmp_path / "another") == []

"""A process that was stopped wakes up after another one has taken over its work: it can write nothing any more.

The kernel frees the lock of a process that died, never that of one that is only stopped; so the test takes it by force.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gpurent.testing.load_timeouts import wait_within
from tests.workflow.test_detach_resume import log_in_with_money, make_job
from tests.workflow.test_stop_signals import RUN, read_until
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        await log_in_with_money(made)
        yield made


def free_locks(sandbox: TripSandbox) -> None:
    """Let others take the locks that a stopped process holds."""
    for path in (sandbox.home / "state" / "locks").glob("*.lock"):
        path.unlink()


def stop(process: asyncio.subprocess.Process) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    _pid, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def is_writable(sandbox: TripSandbox) -> bool:
    """Return whether no process is in the middle of a transaction or a query."""
    path = sandbox.home / "state" / "journal.sqlite"
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
    return True


async def stop_between_writes(process: asyncio.subprocess.Process, sandbox: TripSandbox) -> None:
    """Stop the process where it does not keep everybody out of the journal."""
    stop(process)
    while not is_writable(sandbox):
        os.kill(process.pid, signal.SIGCONT)
        await asyncio.sleep(0.05)
        stop(process)


def dump_store(sandbox: TripSandbox) -> list[str]:
    with closing(sqlite3.connect(sandbox.home / "state" / "journal.sqlite")) as database:
        return list(database.iterdump())


@pytest.mark.nightly
async def test_a_process_that_wakes_up_writes_nothing(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_job(tmp_path, 0.5)
    first = await sandbox.start_command(*RUN, folder=folder)
    await read_until(first.stderr, b"running the job")
    await stop_between_writes(first, sandbox)
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    busy = await sandbox.run_command("-y", "resume", trip["id"], folder=folder)
    assert busy.code == 10
    assert f"{trip['id']} is in use by gpurent run (process {first.pid} on " in busy.err
    shown = await sandbox.run_command("trips", "show", trip["id"], "--json")
    assert shown.data["owner"]["process"] == first.pid
    assert shown.data["owner"]["command"] == "gpurent run"

    free_locks(sandbox)
    second = await sandbox.run_command("-y", "resume", trip["id"], folder=folder)
    assert second.code == 0, second.err
    accounts = sandbox.get_simulator_state("mistgpu").accounts
    stored, money = dump_store(sandbox), repr(accounts)
    os.kill(first.pid, signal.SIGCONT)
    _out, late = await wait_within(30, first.communicate())

    told = late.decode()
    assert first.returncode == 10, told
    assert f"{trip['id']} was taken over by gpurent resume (process " in told
    assert f"This command has written nothing since. See: gpurent trips show {trip['id']}" in told
    assert "Traceback" not in told
    assert dump_store(sandbox) == stored
    assert repr(accounts) == money
    assert list(sandbox.cloud.burning()) == []

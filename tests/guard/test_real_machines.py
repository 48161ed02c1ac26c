"""The guard in a whole sandbox: real machines over SSH, real transfers, separate processes, running time."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.testing.load_timeouts import wait_until, wait_within
from tests.guard.prepaid_lease import DAY, DAY_SPEC, RENEW_ONCE, check_ledgers
from tests.guard.running_guard import EXPECTED_ORDER, first_events, running_guard
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

JOB = "import time\nopen('out.txt', 'w').write('line')\nprint('begun', flush=True)\ntime.sleep(600)\n"


def write_config(sandbox: TripSandbox, text: str) -> None:
    state = sandbox.home / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "config.toml").write_text(text)


async def test_after_a_jump_of_days_a_real_machine_is_saved_and_released(tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    (project / "train.py").write_text(JOB)
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application(user) as application:
        write_config(sandbox, '[guard]\ndeadline = "2d"\n')
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "300")
        spec = TripSpec(
            upload=UploadSpec(folder=str(project)),
            job=JobSpec(command=("train.py",)),
            results=ResultsSpec(paths=("out.txt",), dir=str(home)),
            provider="mistgpu",
        )
        await application.trips.run(spec, detach=True)
        async with running_guard(application) as guard:
            await wait_until(lambda: _is_true(guard.results))
            await sandbox.cloud.advance(timedelta(days=2, hours=1))
            await wait_until(lambda: _is_trip_ended(application), 30)
        assert (await application.trip_tracker.list_trips())[0].outcome_text == "stopped: deadline"
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        assert (home / "out.txt").read_text() == "line"
        assert sandbox.cloud.driver.list_machines() == []
    assert list(sandbox.cloud.burning()) == []


async def _is_true(value: object) -> bool:
    return bool(value)


async def _is_trip_ended(application: Application) -> bool:
    return bool((await application.trip_tracker.list_trips())[0].outcome)


async def _are_trips_ended(application: Application) -> bool:
    return all(row.outcome for row in await application.trip_tracker.list_trips())


async def _is_extended(application: Application, lease_id: str, until: datetime) -> bool:
    return (await application.leases.get_lease(lease_id)).expires_at == until


async def start_watch(sandbox: TripSandbox, *more: str) -> asyncio.subprocess.Process:
    """Start ``gpurent watch`` as the user does."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gpurent", "watch", *more),
        cwd=sandbox.home,
        env={**sandbox.environment(), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def read_until(process: asyncio.subprocess.Process, word: str) -> None:
    """Read the process's output until ``word`` is in a line."""
    errors = process.stderr
    assert errors is not None

    async def read() -> None:
        while word.encode() not in (line := await errors.readline()):
            assert line, "it ended"

    await wait_within(60, read())


@pytest.mark.nightly
async def test_two_guards_and_the_first_killed_while_it_pays_renew_once(tmp_path: Path) -> None:
    """The second waits and finishes what the first has begun, before the payment expires."""
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application() as application:
        write_config(sandbox, RENEW_ONCE.replace('"2h"', '"8h"'))
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "200000")
        lease = await application.trips.rent(DAY_SPEC)
        first = await start_watch(sandbox)
        await wait_until(lambda: _is_true((sandbox.home / "state" / "locks" / "guard.lock").exists()))
        second = await start_watch(sandbox)
        try:
            await read_until(second, str(first.pid))
            third = await start_watch(sandbox, "--once")
            await read_until(third, str(first.pid))
            assert await third.wait() == 0
            payments = len(sandbox.cloud.ledgers()["dbc"])
            assert lease.expires_at is not None
            await sandbox.cloud.advance(lease.expires_at - sandbox.cloud.clock.now() - timedelta(hours=7))
            await wait_until(lambda: _is_true(len(sandbox.cloud.ledgers()["dbc"]) > payments), 60)
            first.kill()
            await first.wait()
            longer = lease.expires_at + DAY
            await wait_until(lambda: _is_extended(application, lease.id, longer), 60)
            await wait_until(lambda: _are_trips_ended(application))
        finally:
            for process in (first, second):
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
        assert second.returncode == 0, "asked to stop, it ends well"
        await check_ledgers(sandbox.cloud.ledgers(), application, 1)

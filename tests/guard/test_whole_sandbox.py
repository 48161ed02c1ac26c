"""The guard in a whole sandbox: real machines over SSH, real transfers, processes of its own, time that runs."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from gpurent.domain.trip import JobSpec, Results, TripSpec, Upload
from gpurent.testing.patience import eventually, within
from tests.guard.prepaid import A_DAY, DAY, ONCE, require_ledgers
from tests.guard.watching import IN_ORDER, guarding, order_of
from tests.workflow.world import Person, World, world

JOB = "import time\nopen('out.txt', 'w').write('line')\nprint('begun', flush=True)\ntime.sleep(600)\n"


def write_config(land: World, text: str) -> None:
    state = land.home / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "config.toml").write_text(text)


async def test_after_a_jump_of_days_a_real_machine_is_saved_and_given_back(tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    (project / "train.py").write_text(JOB)
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        write_config(land, '[guard]\ndeadline = "2d"\n')
        await application.account_commands.login(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await land.settle_alipay(application, "300")
        spec = TripSpec(
            upload=Upload(folder=str(project)),
            job=JobSpec(command=("train.py",)),
            results=Results(paths=("out.txt",), dir=str(home)),
            provider="mistgpu",
        )
        await application.trips.run(spec, detach=True)
        async with guarding(application) as guard:
            await eventually(lambda: _is(guard.looked))
            await land.cloud.advance(timedelta(days=2, hours=1))
            await eventually(lambda: _is(application.trip_register.trips()[0].outcome), 30)
        assert application.trip_register.trips()[0].outcome == "stopped: deadline"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert (home / "out.txt").read_text() == "line"
        assert land.cloud.driver.machines() == []
    assert list(land.cloud.burning()) == []


async def _is(value: object) -> bool:
    return bool(value)


async def start_watch(land: World, *more: str) -> asyncio.subprocess.Process:
    """``gpurent watch`` as the user starts it."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gpurent", "watch", *more),
        cwd=land.home,
        env={**land.environment(), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def read_until(process: asyncio.subprocess.Process, word: str) -> None:
    """Read what it says until ``word`` is in a line."""
    errors = process.stderr
    assert errors is not None

    async def read() -> None:
        while word.encode() not in (line := await errors.readline()):
            assert line, "it ended"

    await within(60, read())


async def test_two_guards_and_the_first_killed_while_it_pays_renew_once(tmp_path: Path) -> None:
    """The second stands by and takes over what the first has begun, before the time for the payment ends."""
    async with world(tmp_path, speed=60) as land, land.application() as application:
        write_config(land, ONCE.replace('"2h"', '"8h"'))
        await application.account_commands.login("1024gpu", {})
        await land.faucet(application, "200000")
        lease = await application.trips.rent(A_DAY)
        first = await start_watch(land)
        await eventually(lambda: _is((land.home / "state" / "locks" / "guard.lock").exists()))
        second = await start_watch(land)
        try:
            await read_until(second, str(first.pid))
            third = await start_watch(land, "--once")
            await read_until(third, str(first.pid))
            assert await third.wait() == 0
            payments = len(land.cloud.ledgers()["dbc"])
            assert lease.expires_at is not None
            await land.cloud.advance(lease.expires_at - land.cloud.clock.now() - timedelta(hours=7))
            await eventually(lambda: _is(len(land.cloud.ledgers()["dbc"]) > payments), 60)
            first.kill()
            await first.wait()
            longer = lease.expires_at + DAY
            await eventually(lambda: _is(application.leases.find_lease(lease.id).expires_at == longer), 60)
            await eventually(lambda: _is(all(row.outcome for row in application.trip_register.trips())))
        finally:
            for process in (first, second):
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
        assert second.returncode == 0, "asked to stop, it ends well"
        await require_ledgers(land.cloud.ledgers(), application, 1)

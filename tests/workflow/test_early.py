"""A push begins its login before it asks the shop, opens no line of ours without need, and leaves no process behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.transfer import Push
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, Upload
from gpurent.errors import GpurentError, LeaseGone
from gpurent.infra.http import HttpClient
from gpurent.infra.ssh.client import SshConnector
from gpurent.testing.contracts.early import children
from gpurent.workflow.runtime.leases import LeaseTracker
from tests.workflow.world import Person, World, world

backend = pytest.importorskip("gpurent_plugin_turbo.backend")


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=60) as made:
        yield made


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done in which order: a login of the plugin's own, a question to the shop, a line of core's."""
    found: list[str] = []

    def spy(owner: Any, name: str, word: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def noted(*given: Any, **more: Any) -> Any:
            found.append(word)
            return real(*given, **more)

        monkeypatch.setattr(owner, name, noted)

    spy(backend.Turbo, "dial", "dial")
    spy(HttpClient, "request", "shop")
    spy(SshConnector, "open", "line")
    return found


def processes() -> list[str]:
    """The ssh processes that are ours."""
    found = []
    for pid in children():
        with suppress(OSError):
            found.append(Path("/proc", pid, "comm").read_text().strip())
    return [name for name in found if name == "ssh"]


async def rented(land: World, application: Application) -> Lease:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, "10")
    return await application.trips.rent(TripSpec(provider="mistgpu"))


@pytest.fixture
def cargo(tmp_path: Path) -> Push:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a.txt").write_text("a\n")
    return Push(sources=(folder,), target="there")


async def told(application: Application, lease: Lease) -> str:
    return (await application.machine_commands.ask(lease.id, "cat there/work/a.txt")).out


async def test_the_login_comes_first_and_no_other_line_is_opened(
    land: World, cargo: Push, log: list[str]
) -> None:
    async with land.application() as application:
        lease = await rented(land, application)
        log.clear()
        report = await application.file_commands.push(lease.id, cargo)
        assert report.files == 1
        assert log[0] == "dial"
        assert "shop" in log, "the shop was asked all the same"
        assert "line" not in log
        assert processes() == []
        assert await told(application, lease) == "a\n"


async def test_a_lease_that_is_over_gets_nothing(land: World, cargo: Push, log: list[str]) -> None:
    async with land.application() as application:
        lease = await rented(land, application)
        stale = application.leases.find_lease(lease.id)
        await application.releases.release(lease.id)
        application.store.save_lease(stale)  # as if another computer had given it back
        log.clear()
        with pytest.raises(LeaseGone):
            await application.file_commands.push(lease.id, cargo)
        assert log[0] == "dial"
        assert processes() == []


async def test_a_login_that_nobody_took_is_ended(
    land: World, cargo: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with land.application() as application:
        lease = await rented(land, application)
        seen: list[list[str]] = []

        async def fall(self: LeaseTracker, lease_id: str) -> Lease:
            await asyncio.sleep(0)
            seen.append(processes())
            raise GpurentError("the shop is on fire")

        async def slow(*given: Any) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(LeaseTracker, "refresh_lease", fall)
        monkeypatch.setattr(backend.Turbo, "push", slow)
        with pytest.raises(GpurentError, match="on fire"):
            await application.file_commands.push(lease.id, cargo)
        assert seen == [["ssh"]]
        assert processes() == []


async def test_what_goes_wrong_there_is_left_to_the_usual_way(
    land: World, cargo: Push, log: list[str]
) -> None:
    person = Person()
    async with land.application(person) as application:
        lease = await rented(land, application)
        # The machine forgot our key: the password lets us in again.
        ran = await application.machine_commands.ask(lease.id, ": > .ssh/authorized_keys")
        assert ran.status == 0
        log.clear()
        report = await application.file_commands.push(lease.id, cargo)
        assert report.files == 1
        assert log[0] == "dial"
        assert "line" in log
        assert processes() == []
        assert await told(application, lease) == "a\n"


async def test_a_named_courier_that_cannot_dial_waits_for_the_line(
    land: World, cargo: Push, log: list[str]
) -> None:
    async with land.application() as application:
        lease = await rented(land, application)
        log.clear()
        await application.file_commands.push(lease.id, cargo, "sftp")
        assert "dial" not in log
        assert log[-1] == "line"
        await application.file_commands.push(lease.id, evolve(cargo, delete=True, dry_run=True))
        assert processes() == []


async def test_a_trip_on_a_machine_that_is_known_dials_before_it_connects(
    land: World, tmp_path: Path, log: list[str]
) -> None:
    person = Person()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "train.py").write_text("print(1)\n")
    async with land.application(person) as application:
        lease = await rented(land, application)
        log.clear()
        end = await application.trips.run(
            TripSpec(
                upload=Upload(folder=str(tmp_path / "job")),
                job=JobSpec(command=("train.py",)),
                limits=TripLimits(keep=True),
                provider="mistgpu",
                lease=lease.id,
            )
        )
        assert end.exit_code == 0
        assert log.index("dial") < log.index("line")
        assert processes() == []
        assert EventKind.LINE_LOST not in person.kinds()

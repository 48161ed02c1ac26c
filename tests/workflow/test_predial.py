"""A push starts its login before it asks the provider, opens no needless connection, and leaves no process behind."""

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
from gpurent.domain.transfer import PushRequest
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import BusyError, LeaseGone
from gpurent.infra.http import HttpClient
from gpurent.infra.ssh.connector import SshConnector
from gpurent.testing.contracts.predial import list_child_processes
from gpurent.testing.load_timeouts import wait_until
from gpurent.workflow.runtime.leases import LeaseTracker
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

backend = pytest.importorskip("gpurent_plugin_turbo.backend")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        yield made


@pytest.fixture
def call_log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls in order."""
    found: list[str] = []

    def record_calls(owner: Any, name: str, word: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def record_and_call(*args: Any, **more: Any) -> Any:
            found.append(word)
            return real(*args, **more)

        monkeypatch.setattr(owner, name, record_and_call)

    record_calls(backend.TurboBackend, "start_login", "start_login")
    record_calls(HttpClient, "request", "request")
    record_calls(SshConnector, "open_connection", "open_connection")
    return found


def list_ssh_processes() -> list[str]:
    """Return our own ssh processes."""
    found = []
    for pid in list_child_processes():
        with suppress(OSError):
            found.append(Path("/proc", pid, "comm").read_text().strip())
    return [name for name in found if name == "ssh"]


async def rent_machine(sandbox: TripSandbox, application: Application) -> Lease:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, "10")
    return await application.trips.rent(TripSpec(provider="mistgpu"))


@pytest.fixture
def push_request(tmp_path: Path) -> PushRequest:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a.txt").write_text("a\n")
    return PushRequest(sources=(folder,), target="there")


async def read_pushed_file(application: Application, lease: Lease) -> str:
    return (await application.machine_commands.run_command(lease.id, "cat there/work/a.txt")).stdout


async def test_the_login_comes_first_and_no_other_connection_is_opened(
    sandbox: TripSandbox, push_request: PushRequest, call_log: list[str]
) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_machine(sandbox, application)
        call_log.clear()
        report = await application.file_commands.push(lease.id, push_request)
        assert report.files == 1
        assert call_log[0] == "start_login"
        assert "request" in call_log, "the provider was asked all the same"
        assert "open_connection" not in call_log
        assert list_ssh_processes() == []
        assert await read_pushed_file(application, lease) == "a\n"


async def test_a_lease_that_is_over_gets_nothing(
    sandbox: TripSandbox, push_request: PushRequest, call_log: list[str]
) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_machine(sandbox, application)
        stale = await application.leases.get_lease(lease.id)
        await application.releases.release_lease(lease.id)
        await application.store.save_lease(stale)  # as if another computer had released it
        call_log.clear()
        with pytest.raises(LeaseGone):
            await application.file_commands.push(lease.id, push_request)
        assert call_log[0] == "start_login"
        assert list_ssh_processes() == []


async def test_unused_login_is_ended(
    sandbox: TripSandbox, push_request: PushRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_machine(sandbox, application)
        seen: list[list[str]] = []

        async def is_dialling() -> bool:
            return bool(list_ssh_processes())

        async def fall(self: LeaseTracker, lease_id: str) -> Lease:
            await wait_until(is_dialling)  # the child has been forked, and runs ssh in a moment
            seen.append(list_ssh_processes())
            raise BusyError("another process is at it")

        async def slow(*args: Any) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(LeaseTracker, "refresh_lease", fall)
        monkeypatch.setattr(backend.TurboBackend, "push", slow)
        with pytest.raises(BusyError, match="another process"):
            await application.file_commands.push(lease.id, push_request)
        assert seen == [["ssh"]]
        assert list_ssh_processes() == []


async def test_predial_failures_fall_back_to_a_normal_push(
    sandbox: TripSandbox, push_request: PushRequest, call_log: list[str]
) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        lease = await rent_machine(sandbox, application)
        # The machine loses our key: the password still lets us in.
        ran = await application.machine_commands.run_command(lease.id, ": > .ssh/authorized_keys")
        assert ran.exit_status == 0
        call_log.clear()
        report = await application.file_commands.push(lease.id, push_request)
        assert report.files == 1
        assert call_log[0] == "start_login"
        assert "open_connection" in call_log
        assert list_ssh_processes() == []
        assert await read_pushed_file(application, lease) == "a\n"


async def test_a_backend_that_cannot_predial_waits_for_the_connection(
    sandbox: TripSandbox, push_request: PushRequest, call_log: list[str]
) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_machine(sandbox, application)
        call_log.clear()
        await application.file_commands.push(lease.id, push_request, "sftp")
        assert "start_login" not in call_log
        assert call_log[-1] == "open_connection"
        await application.file_commands.push(lease.id, evolve(push_request, delete=True, dry_run=True))
        assert list_ssh_processes() == []


async def test_a_trip_on_a_machine_that_is_known_dials_before_it_connects(
    sandbox: TripSandbox, tmp_path: Path, call_log: list[str]
) -> None:
    user = ScriptedUser()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "train.py").write_text("print(1)\n")
    async with sandbox.open_application(user) as application:
        lease = await rent_machine(sandbox, application)
        call_log.clear()
        end = await application.trips.run(
            TripSpec(
                upload=UploadSpec(folder=str(tmp_path / "job")),
                job=JobSpec(command=("train.py",)),
                limits=TripLimits(keep=True),
                provider="mistgpu",
                lease=lease.id,
            )
        )
        assert end.exit_code == 0
        assert call_log.index("start_login") < call_log.index("open_connection")
        assert list_ssh_processes() == []
        assert EventKind.CONNECTION_LOST not in user.event_kinds()

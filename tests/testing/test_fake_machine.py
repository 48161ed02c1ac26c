"""A machine without SSH fulfils the contract of a real connection, and fails where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from gpurent.errors import UnavailableError, UsageError
from gpurent.ports.connection import SshConnection
from gpurent.roles.simulator import SandboxMachines
from gpurent.testing.contracts.connection import ConnectionContract
from gpurent.testing.fakes import FakeConnection, FakeMachine, FakeMachines, ManualClock
from gpurent.testing.sandbox.machines import BootFailed, DiskInUse, MachineSpec

SPEC = MachineSpec(user="mist", password="open sesame", hostname="gpu28", data="lab/42")


def is_running(process: int) -> bool:
    """Return whether the process runs; one that has exited but was not reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@define
class FakeRemote:
    machine: FakeMachine

    async def connect(self) -> FakeConnection:
        return await self.machine.connect()

    async def cut_connections(self) -> None:
        self.machine.cut_connections()

    async def kill(self) -> None:
        await self.machine.kill()


class TestFakeMachine(ConnectionContract):
    @pytest.fixture
    async def remote(self, tmp_path: Path) -> AsyncIterator[FakeRemote]:
        machine = FakeMachine(root=tmp_path, spec=SPEC)
        yield FakeRemote(machine)
        await machine.kill()


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[FakeMachines]:
    async with FakeMachines(root=tmp_path / "machines") as made:
        yield made


async def boot_machine(machines: FakeMachines, **changes: Any) -> FakeMachine:
    spec_fields = {
        "user": "mist",
        "password": "open sesame",
        "hostname": "gpu28",
        "data": "lab/42",
        **changes,
    }
    return await machines.boot(**spec_fields)


async def test_nothing_is_written_before_somebody_connects(machines: FakeMachines) -> None:
    machine = await boot_machine(machines)
    assert not machines.root.exists()
    connection: SshConnection = await machines.connect(machine.endpoint)
    assert (await connection.run("pwd")).stdout.strip() == str(machine.home)
    assert machine.commands == ["pwd"]


async def test_a_kill_ends_what_was_detached_and_leaves_the_disk(machines: FakeMachines) -> None:
    machine = await boot_machine(machines)
    connection = await machine.connect()
    await connection.run("echo kept > file; setsid sleep 3600 >/dev/null 2>&1 </dev/null & echo $! > pid")
    process = int((machine.home / "pid").read_text())
    assert is_running(process)
    await machines.kill(machine.id)
    await machines.kill(machine.id)
    assert not is_running(process)
    assert machines.alive_machines == {}
    again = await boot_machine(machines)
    assert (await (await again.connect()).run("cat file")).stdout == "kept\n"


async def test_one_machine_a_disk_and_an_erased_disk_is_empty(machines: FakeMachines) -> None:
    provided: SandboxMachines = machines
    machine = await boot_machine(machines)
    await (await machine.connect()).run("echo kept > file")
    with pytest.raises(DiskInUse):
        await boot_machine(machines)
    await provided.kill(machine.id)
    await provided.delete_disk("lab/42")
    assert (machines.disks, machines.erased) == (set(), ["lab/42"])
    again = await boot_machine(machines)
    assert (await (await again.connect()).run("cat file")).exit_status == 1


async def test_boot_fails_as_often_as_configured(machines: FakeMachines) -> None:
    machines.boot_failures = 1
    with pytest.raises(BootFailed):
        await boot_machine(machines)
    assert (await boot_machine(machines)) is machines.only_machine


async def test_a_missing_program_is_not_there_until_it_is_installed(machines: FakeMachines) -> None:
    machine = await boot_machine(machines, missing=("tar",))
    connection = await machine.connect()
    assert (await connection.run("tar --version")).exit_status == 127
    assert (await connection.run("sudo apt-get install -y tar && tar --version")).exit_status == 0


async def test_stop_script_notifies_the_provider_and_ends_the_machine(machines: FakeMachines) -> None:
    notified: list[str] = []

    async def on_stop(machine_id: str) -> None:
        notified.append(machine_id)

    machine = await boot_machine(machines, stop_scripts=("~/shutdown.sh",), on_stop=on_stop)
    connection = await machine.connect()
    with pytest.raises(UnavailableError) as caught:
        await connection.run("sh ~/shutdown.sh")
    assert caught.value.retryable
    await machine.kill()
    assert (notified, machines.alive_machines) == ([machine.id], {})
    with pytest.raises(UnavailableError):
        await machines.connect(machine.endpoint)


async def test_noise_of_start_files_comes_before_every_output(machines: FakeMachines) -> None:
    machine = await boot_machine(machines)
    machine.noise = "Welcome to gpu28!\n"
    ran = await (await machine.connect()).run("echo on; echo oops >&2")
    assert (ran.stdout, ran.stderr) == ("Welcome to gpu28!\non\n", "oops\n")


async def test_a_slow_machine_takes_the_clocks_time_and_runs_into_limits_there(
    machines: FakeMachines,
) -> None:
    machine = await boot_machine(machines)
    machine.delay = timedelta(seconds=20)
    connection = await machine.connect()
    before = machine.clock.now()
    assert (await connection.run("echo on")).stdout == "on\n"
    assert machine.clock.now() - before == timedelta(seconds=20)
    with pytest.raises(UnavailableError, match="no answer within 10 s") as caught:
        await connection.run("touch ran", timeout=10)
    assert not caught.value.retryable
    assert machine.clock.now() - before == timedelta(seconds=30)
    assert not (machine.home / "ran").exists()


async def test_a_silent_machine_answers_nothing_until_the_connection_is_cut(machines: FakeMachines) -> None:
    machine = FakeMachine(root=machines.root, spec=SPEC, clock=ManualClock(), silent=True)
    connection = await machine.connect()
    asked = asyncio.ensure_future(connection.run("echo never"))
    await machine.clock.wait_for_sleepers()
    assert machine.cut_connections() == 1
    with pytest.raises(UnavailableError) as caught:
        await asked
    assert caught.value.retryable
    assert machine.clock.sleeper_count == 0
    await machine.kill()


async def test_on_a_full_disk_writing_fails_and_reading_goes_on(machines: FakeMachines) -> None:
    machine = await boot_machine(machines)
    connection = await machine.connect()
    await connection.run("echo kept > file")
    machine.disk_full = True
    ran = await connection.run("echo more > other; echo $?; cat file | cat; [ -s other ] || echo empty")
    assert (
        ran.stdout == "1\nkept\nempty\n"
        if ran.stdout.startswith("1")
        else ran.stdout.endswith("kept\nempty\n")
    )
    assert (await connection.run("dd if=/dev/zero of=big bs=4096 count=1")).exit_status
    machine.disk_full = False
    assert (await connection.run("echo more > other")).exit_status == 0


async def test_a_plugin_that_speaks_ssh_gets_a_hint(machines: FakeMachines) -> None:
    connection = await (await boot_machine(machines)).connect()
    with pytest.raises(UsageError):
        _ = connection.transport

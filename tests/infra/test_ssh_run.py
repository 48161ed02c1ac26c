"""A real SSH connection fulfils the contract of every connection, even if the network misbehaves."""

from __future__ import annotations

import asyncio
import gc
from time import monotonic

import asyncssh
import pytest
from attrs import evolve, frozen

from gpurent.errors import UnavailableError
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.infra.ssh.connector import SshConnector
from gpurent.testing.contracts.connection import ConnectionContract
from gpurent.testing.load_timeouts import load_factor, wait_until
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.sandbox.machines import BootedMachine
from gpurent.testing.ssh_fixture import LEASE, SshFixture, get_endpoint, pin_shown_key


@frozen
class SandboxRemote:
    """One machine of the sandbox."""

    machines: SshFixture
    machine: BootedMachine

    async def connect(self) -> AsyncsshConnection:
        return await self.machines.connect(self.machine)

    async def cut_connections(self) -> None:
        await self.machines.driver.cut_connections(self.machine.id)

    async def kill(self) -> None:
        await self.machines.driver.kill(self.machine.id)


class TestAsyncsshConnection(ConnectionContract):
    @pytest.fixture
    async def remote(self, machines: SshFixture) -> SandboxRemote:
        return SandboxRemote(machines, await machines.boot())


async def test_the_time_limit_holds_on_a_silent_connection(machines: SshFixture) -> None:
    machine = await machines.boot()
    connection = await machines.connect(machine)
    machine.proxy.plan = FaultPlan(stall=True)
    for command in ("echo never", "cat"):
        before = monotonic()
        with pytest.raises(UnavailableError) as caught:
            await connection.run(command, timeout=1)
        assert monotonic() - before < 3 * load_factor()
        assert caught.value.message
    before = monotonic()
    await connection.close()
    assert monotonic() - before < 5 * load_factor()
    assert not connection.is_alive


async def test_a_machine_that_accepts_and_says_nothing_runs_into_the_time_limit(machines: SshFixture) -> None:
    machine = await machines.boot()
    machine.proxy.plan = FaultPlan(stall=True)
    patient = evolve(machines, ssh=SshConnector(machines.folder, connect_timeout=1))
    before = monotonic()
    with pytest.raises(UnavailableError) as caught:
        await patient.connect(machine)
    assert monotonic() - before < 5 * load_factor()
    assert caught.value.retryable


@pytest.mark.parametrize("at", [0, 1, 50, 900, 2000, 2400])
async def test_r4_a_cut_anywhere_in_the_login_is_retryable_and_the_next_login_works(
    machines: SshFixture, at: int
) -> None:
    machine = await machines.boot()
    await pin_shown_key(machines.ssh, LEASE, get_endpoint(machine))

    async def silent() -> bool:
        return not machine.proxy.connection_count

    await wait_until(silent)
    machine.proxy.plan = FaultPlan(cut_upload_after=at, times=1)
    with pytest.raises(UnavailableError) as caught:
        await machines.connect(machine)
    assert caught.value.retryable
    async with machines.open_connection(machine) as connection:
        assert (await connection.run("wc -l < ~/.ssh/authorized_keys")).stdout.strip() == "1"


async def test_requests_of_the_library_that_a_cut_leaves_behind_print_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(error: Exception) -> None:
        raise error

    for error in (
        asyncssh.SFTPConnectionLost("cut"),
        asyncssh.ConnectionLost("cut"),
        ValueError("our own fault"),
    ):
        task = asyncio.create_task(fail(error))
        await asyncio.wait([task])
        del task
        gc.collect()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]

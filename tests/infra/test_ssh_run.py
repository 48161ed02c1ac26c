"""A real SSH connection keeps the promises of every connection, also where the wire itself misbehaves."""

from __future__ import annotations

from time import monotonic

import pytest
from attrs import evolve, frozen

from gpurent.errors import UnavailableError
from gpurent.infra.ssh.client import SshConnector
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.testing.contracts.connection import ConnectionContract
from gpurent.testing.patience import eventually, factor
from gpurent.testing.sandbox.faults import Plan
from gpurent.testing.sandbox.machines import Machine
from gpurent.testing.ssh_fixture import LEASE, SshFixture, endpoint_of


@frozen
class SandboxPlace:
    """One machine of the sandbox."""

    machines: SshFixture
    machine: Machine

    async def connect(self) -> AsyncsshConnection:
        return await self.machines.connect(self.machine)

    async def cut(self) -> None:
        await self.machines.driver.cut(self.machine.id)

    async def kill(self) -> None:
        await self.machines.driver.kill(self.machine.id)


class TestAsyncsshConnection(ConnectionContract):
    @pytest.fixture
    async def place(self, machines: SshFixture) -> SandboxPlace:
        return SandboxPlace(machines, await machines.boot())


async def test_the_time_limit_holds_on_a_line_that_has_fallen_silent(machines: SshFixture) -> None:
    machine = await machines.boot()
    connection = await machines.connect(machine)
    machine.line.plan = Plan(stall=True)
    for command in ("echo never", "cat"):
        before = monotonic()
        with pytest.raises(UnavailableError) as caught:
            await connection.run(command, timeout=1)
        assert monotonic() - before < 3 * factor()
        assert caught.value.message
    before = monotonic()
    await connection.aclose()
    assert monotonic() - before < 5 * factor()
    assert not connection.alive


async def test_a_machine_that_accepts_and_says_nothing_runs_into_the_time_limit(machines: SshFixture) -> None:
    machine = await machines.boot()
    machine.line.plan = Plan(stall=True)
    patient = evolve(machines, ssh=SshConnector(machines.folder, connect_timeout=1))
    before = monotonic()
    with pytest.raises(UnavailableError) as caught:
        await patient.connect(machine)
    assert monotonic() - before < 5 * factor()
    assert caught.value.retryable


@pytest.mark.parametrize("at", [0, 1, 50, 900, 2000, 2400])
async def test_r4_a_cut_anywhere_in_the_login_is_retryable_and_the_next_login_works(
    machines: SshFixture, at: int
) -> None:
    machine = await machines.boot()
    await machines.ssh.pin(LEASE, endpoint_of(machine))

    async def silent() -> bool:
        return not machine.line.connections

    await eventually(silent)
    machine.line.plan = Plan(cut_up=at, times=1)
    with pytest.raises(UnavailableError) as caught:
        await machines.connect(machine)
    assert caught.value.retryable
    async with machines.connected(machine) as connection:
        assert (await connection.run("wc -l < ~/.ssh/authorized_keys")).out.strip() == "1"

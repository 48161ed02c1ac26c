"""Connections to fake machines: who may log in, and how a machine is identified."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, UnavailableError
from gpurent.ports.connection import Connector, Reachability
from gpurent.testing.fakes.connector import FakeConnector
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.fakes.machines import FakeMachines

PASSWORD = Secret("right")


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[FakeMachines]:
    async with FakeMachines(root=tmp_path / "machines") as made:
        yield made


@pytest.fixture
def connector(machines: FakeMachines, tmp_path: Path) -> FakeConnector:
    made = FakeConnector(machines, tmp_path / "ssh")
    _port: Connector = made
    return made


async def boot_machine(machines: FakeMachines, data: str = "disk") -> FakeMachine:
    return await machines.boot(user="root", password=PASSWORD.reveal(), hostname="gpu", data=data)


async def pin_key(connector: FakeConnector, endpoint: Endpoint, lease: str = "lease") -> None:
    connector.pin_host_key(lease, endpoint, await connector.fetch_host_key(endpoint, ()))


async def test_the_password_opens_it_once_and_the_key_from_then_on(
    machines: FakeMachines, connector: FakeConnector
) -> None:
    machine = await boot_machine(machines)
    with pytest.raises(HostKeyChanged):
        await connector.open_connection("lease", machine.endpoint, PASSWORD)
    for lease in ("lease", "another"):
        await pin_key(connector, machine.endpoint, lease)
    for wrong in (None, Secret("wrong")):
        with pytest.raises(AuthError):
            await connector.open_connection("lease", machine.endpoint, wrong)
    entered = await connector.open_connection("lease", machine.endpoint, PASSWORD)
    assert (await entered.run("echo $HOME")).stdout.strip() == str(machine.home)
    again = await connector.open_connection("lease", machine.endpoint, None)
    assert again.is_alive
    with pytest.raises(AuthError):
        await connector.open_connection("another", machine.endpoint, None)


async def test_a_machine_that_is_off_is_unavailable(machines: FakeMachines, connector: FakeConnector) -> None:
    machine = await boot_machine(machines)
    assert await connector.probe_endpoint("lease", machine.endpoint) is Reachability.REACHABLE
    await machine.kill()
    assert await connector.probe_endpoint("lease", machine.endpoint) is Reachability.REFUSED
    with pytest.raises(UnavailableError):
        await connector.open_connection("lease", machine.endpoint, PASSWORD)


async def test_another_machine_at_the_address_is_refused(
    machines: FakeMachines, connector: FakeConnector
) -> None:
    machine = await boot_machine(machines)
    await pin_key(connector, machine.endpoint)
    await machine.kill()
    other = await boot_machine(machines, "another disk")
    other.port = machine.port
    assert await connector.probe_endpoint("lease", machine.endpoint) is Reachability.OTHER_MACHINE
    with pytest.raises(HostKeyChanged):
        await connector.open_connection("lease", machine.endpoint, PASSWORD)
    connector.retire_host_keys("lease")
    await pin_key(connector, machine.endpoint)
    assert (await connector.open_connection("lease", machine.endpoint, PASSWORD)).is_alive

"""Sandbox machines and the product's own SSH connections to them, for tests of what runs over a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, evolve, field

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.infra.platform.system import make_private_folder
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.infra.ssh.connector import SshConnector
from gpurent.testing.sandbox.machines import (
    BootedMachine,
    DriverName,
    MachineDriver,
    MachineSpec,
    select_driver,
)
from gpurent.testing.sandbox.machines.programs import shared_link_farms

PASSWORD = Secret("open sesame 7")
SPEC = MachineSpec(user="mist", password=PASSWORD.reveal(), hostname="gpu28", data="lab/42")
LEASE = "lease-1"


def get_endpoint(machine: BootedMachine) -> Endpoint:
    return Endpoint(machine.spec.user, machine.host, machine.port)


async def pin_shown_key(ssh: SshConnector, lease: str, endpoint: Endpoint) -> str:
    """Pin the host key that the machine shows now, unless one is pinned; return the fingerprint of the pinned one."""
    key = ssh.find_pinned_host_key(lease, endpoint)
    if key is None:
        key = await ssh.fetch_host_key(endpoint, ())
        ssh.pin_host_key(lease, endpoint, key)
    return key.fingerprint


@define
class SshFixture:
    """A driver of machines, and our side's SSH folder."""

    driver: MachineDriver
    ssh: SshConnector
    folder: Path

    async def boot(self, **changes: object) -> BootedMachine:
        """Boot a machine like `SPEC`, except for ``changes``."""
        return await self.driver.boot(evolve(SPEC, **changes))  # type: ignore[arg-type]

    async def connect(
        self, machine: BootedMachine, lease: str = LEASE, password: Secret | None = PASSWORD
    ) -> AsyncsshConnection:
        await pin_shown_key(self.ssh, lease, get_endpoint(machine))
        return await self.ssh.open_connection(lease, get_endpoint(machine), password)

    @asynccontextmanager
    async def open_connection(
        self, machine: BootedMachine, lease: str = LEASE
    ) -> AsyncIterator[AsyncsshConnection]:
        """Open a connection for the duration of the block."""
        connection = await self.connect(machine, lease)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def ssh_fixture(driver: DriverName, root: Path) -> AsyncIterator[SshFixture]:
    """Provide machines below ``root``; they all end with the block."""
    folder = make_private_folder(root / "ssh")
    made = await select_driver(driver, root / "sandbox", shared_link_farms())
    try:
        yield SshFixture(made, SshConnector(folder), folder)
    finally:
        await made.close()


@define
class MachineFixture:
    """A machine and the key of one lease. ``home`` is its home folder on this computer, where there is one."""

    machine: BootedMachine
    ssh: SshConnector
    home: Path
    _connections: list[AsyncsshConnection] = field(factory=list)

    async def connect(self) -> AsyncsshConnection:
        """Return a new connection; earlier ones stay open, and all are closed at the end."""
        await pin_shown_key(self.ssh, LEASE, get_endpoint(self.machine))
        made = await self.ssh.open_connection(LEASE, get_endpoint(self.machine), PASSWORD)
        self._connections.append(made)
        return made


@asynccontextmanager
async def machine_fixture(
    root: Path, driver: DriverName = "embedded", **changes: object
) -> AsyncIterator[MachineFixture]:
    """Boot a machine like `SPEC`, except for ``changes``; it ends with the block."""
    async with ssh_fixture(driver, root) as machines:
        machine = await machines.boot(**changes)
        (home,) = (root / "sandbox" / "disks").glob("*/home")
        made = MachineFixture(machine, machines.ssh, home)
        try:
            yield made
        finally:
            for connection in made._connections:
                await connection.close()

"""Sandbox machines and the product's own SSH to them, for tests of what runs over a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, evolve

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.ssh.client import Ssh
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.testing.sandbox.machines import DriverName, Machine, MachineDriver, MachineSpec, pick_driver

PASSWORD = Secret("open sesame 7")
SPEC = MachineSpec(user="mist", password=PASSWORD.reveal(), hostname="gpu28", data="lab/42")
LEASE = "lease-1"


def endpoint_of(machine: Machine) -> Endpoint:
    return Endpoint(machine.spec.user, machine.host, machine.port)


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 15) -> None:
    """Wait until ``condition`` is true; fails when it never is."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.03)


@define
class Yard:
    """A driver, and our side's SSH folder."""

    driver: MachineDriver
    ssh: Ssh
    folder: Path

    async def boot(self, **changes: object) -> Machine:
        return await self.driver.boot(evolve(SPEC, **changes))  # type: ignore[arg-type]

    async def open(
        self, machine: Machine, lease: str = LEASE, password: Secret | None = PASSWORD
    ) -> AsyncsshConnection:
        return await self.ssh.open(lease, endpoint_of(machine), password)

    @asynccontextmanager
    async def link(self, machine: Machine, lease: str = LEASE) -> AsyncIterator[AsyncsshConnection]:
        link = await self.open(machine, lease)
        try:
            yield link
        finally:
            await link.aclose()


@asynccontextmanager
async def open_yard(driver: DriverName, root: Path) -> AsyncIterator[Yard]:
    """A yard below ``root``; everything in it ends with it."""
    folder = private_folder(root / "ssh")
    made = await pick_driver(driver, root / "sandbox")
    try:
        yield Yard(made, Ssh(folder), folder)
    finally:
        await made.close()

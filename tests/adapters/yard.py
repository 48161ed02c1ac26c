"""Machines and SSH servers that these tests log in to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
from attrs import define, evolve, field

from gpurent.adapters.ssh import Ssh
from gpurent.adapters.ssh_link import SshLink
from gpurent.model.access import Endpoint
from gpurent.model.secret import Secret
from gpurent.testing.sandbox.machines import Machine, MachineDriver, MachineSpec

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

    async def open(self, machine: Machine, lease: str = LEASE, password: Secret | None = PASSWORD) -> SshLink:
        return await self.ssh.open(lease, endpoint_of(machine), password)

    @asynccontextmanager
    async def link(self, machine: Machine, lease: str = LEASE) -> AsyncIterator[SshLink]:
        link = await self.open(machine, lease)
        try:
            yield link
        finally:
            await link.aclose()


@define
class Door(asyncssh.SSHServer):
    """A server that remembers which passwords and users it was shown."""

    passwords: list[str]
    users: list[str]

    def begin_auth(self, username: str) -> bool:
        self.users.append(username)
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self.passwords.append(password)
        return False


@define
class Watched:
    """A listening `Door`."""

    endpoint: Endpoint
    passwords: list[str] = field(factory=list)
    users: list[str] = field(factory=list)


@asynccontextmanager
async def watched(key: asyncssh.SSHKey, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Watched]:
    """An SSH server with host key ``key`` that lets nobody in and remembers what it was shown."""
    passwords: list[str] = []
    users: list[str] = []
    server = await asyncssh.listen(
        host, port, server_factory=lambda: Door(passwords, users), server_host_keys=[key], gss_host=None
    )
    try:
        yield Watched(Endpoint("mist", host, server.get_port()), passwords, users)
    finally:
        server.close()
        await server.wait_closed()

"""SSH servers that remember what they were shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
from attrs import define, field

from gpurent.domain.access import Endpoint


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

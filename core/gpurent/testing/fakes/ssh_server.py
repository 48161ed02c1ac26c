"""An SSH server that rejects every login and records the attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
from attrs import define, field

from gpurent.domain.access import Endpoint


@define
class _RefusingServer(asyncssh.SSHServer):
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
class RecordingSshServer:
    """Where the server listens, and the login attempts."""

    endpoint: Endpoint
    passwords: list[str] = field(factory=list)
    users: list[str] = field(factory=list)


@asynccontextmanager
async def recording_ssh_server(
    key: asyncssh.SSHKey, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[RecordingSshServer]:
    """Run a server with host key ``key`` while the block runs."""
    passwords: list[str] = []
    users: list[str] = []
    server = await asyncssh.listen(
        host,
        port,
        server_factory=lambda: _RefusingServer(passwords, users),
        server_host_keys=[key],
        gss_host=None,
    )
    try:
        yield RecordingSshServer(Endpoint("mist", host, server.get_port()), passwords, users)
    finally:
        server.close()
        await server.wait_closed()

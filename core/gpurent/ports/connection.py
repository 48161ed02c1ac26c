"""A connection to one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gpurent.domain.access import Endpoint

if TYPE_CHECKING:
    import asyncssh


class CommandResult(Protocol):
    """What a remote command did."""

    @property
    def status(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def err(self) -> str: ...


class SshConnection(Protocol):
    """An open line to one machine."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def connection(self) -> asyncssh.SSHClientConnection: ...
    @property
    def key_file(self) -> Path:
        """The lease's private key (0600), for tools that open lines of their own."""

    @property
    def known_hosts(self) -> Path: ...
    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - as in subprocess
        """Run one shell command in the home folder. A lost line is an `UnavailableError`; a status is no error."""

"""The way into a machine that was entered before, for tools that dial for themselves. Imports no SSH library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpurent.domain.access import Endpoint
from gpurent.errors import UnavailableError
from gpurent.infra.platform.posix.files import read_private
from gpurent.locale import _

if TYPE_CHECKING:
    import asyncssh

    from gpurent.ports.connection import CommandResult


class SshTarget:
    """Implements `gpurent.roles.plugin_context.Link` as far as it goes while no connection is open."""

    alive = False

    def __init__(self, endpoint: Endpoint, key_file: Path, known_hosts: Path) -> None:
        self.endpoint, self.key_file, self.known_hosts = endpoint, key_file, known_hosts

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        raise self._shut()

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - the role's
        raise self._shut()

    def _shut(self) -> UnavailableError:
        return UnavailableError(
            _("{endpoint}: no line is open yet").format(endpoint=self.endpoint), retryable=True
        )


def ssh_target(folder: Path, lease_id: str, endpoint: Endpoint) -> SshTarget | None:
    """The door of ``endpoint`` where the lease's key was installed and its host key is pinned; None: not yet."""
    room = folder / lease_id
    try:
        known = read_private(room / "known_hosts").decode().startswith(f"{place(endpoint)} ")
    except OSError:
        return None
    if not known or not installed(room, endpoint):
        return None
    return SshTarget(endpoint, room / "key", room / "known_hosts")


def place(endpoint: Endpoint) -> str:
    """The machine as a known-hosts file names it; ssh and asyncssh look port 22 up without its number."""
    return endpoint.address if endpoint.port == 22 else f"[{endpoint.address}]:{endpoint.port}"


def installed(room: Path, endpoint: Endpoint) -> bool:
    """Whether the key in ``room`` lets us in there."""
    try:
        found: dict[str, Any] = json.loads(read_private(room / "state.json"))
    except (FileNotFoundError, ValueError):
        return False
    return found.get("installed") == str(endpoint)

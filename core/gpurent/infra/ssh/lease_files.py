"""The local files of a lease: its key pair and its pinned host key. Does not import the SSH library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.errors import UnavailableError
from gpurent.infra.platform.posix.system import read_private_file, write_private_file
from gpurent.locale import _
from gpurent.ports.connection import CommandResult


@frozen
class LeaseFiles:
    """``folder`` holds ``key``, ``key.pub``, ``known_hosts``, and ``state.json``: where the key is installed."""

    folder: Path

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def find_pinned_host_key(self, endpoint: Endpoint) -> str | None:
        """Return the pinned host key as text; None before the first contact. A new address counts as a new machine."""
        try:
            place, _space, key = read_private_file(self.known_hosts).decode().strip().partition(" ")
        except FileNotFoundError:
            return None
        return key if place == known_hosts_name(endpoint) else None

    def save_pinned_key(self, endpoint: Endpoint, key: str) -> None:
        write_private_file(self.known_hosts, f"{known_hosts_name(endpoint)} {key}\n".encode())

    def is_installed(self, endpoint: Endpoint) -> bool:
        try:
            found: dict[str, Any] = json.loads(read_private_file(self.folder / "state.json"))
        except (FileNotFoundError, ValueError):
            return False
        return found.get("installed") == str(endpoint)

    def mark_installed(self, endpoint: Endpoint) -> None:
        write_private_file(self.folder / "state.json", json.dumps({"installed": str(endpoint)}).encode())

    def delete_host_key(self) -> None:
        """Delete the pinned host key and the record of the installed key. The key pair stays."""
        self.known_hosts.unlink(missing_ok=True)
        (self.folder / "state.json").unlink(missing_ok=True)


def known_hosts_name(endpoint: Endpoint) -> str:
    """Return the machine's name in a known-hosts file; ssh and asyncssh look up port 22 without its number."""
    return endpoint.address if endpoint.port == 22 else f"[{endpoint.address}]:{endpoint.port}"


@frozen
class SshTarget:
    """Implements the part of `gpurent.ports.connection.SshConnection` that needs no open connection."""

    endpoint: Endpoint
    key_file: Path
    known_hosts: Path

    @property
    def transport(self) -> object:
        raise self._not_open_error()

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - the port's
        raise self._not_open_error()

    def _not_open_error(self) -> UnavailableError:
        return UnavailableError(
            _("{endpoint}: not connected yet").format(endpoint=self.endpoint), retryable=True
        )

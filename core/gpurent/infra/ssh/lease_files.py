"""The local files of a lease: its key pair and its pinned host keys. Does not import the SSH library."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import UnavailableError
from gpurent.infra.platform.system import read_private_file, write_private_file
from gpurent.locale import _
from gpurent.ports.connection import CommandResult

T = TypeVar("T")


@frozen
class LeaseFiles:
    """``folder`` holds ``key``, ``key.pub``, ``known_hosts``, ``former_hosts``, and ``state.json``.

    The first of the two has the pinned host keys, the second those that are no longer current. ``state.json``: the
    endpoints at which the lease's key is installed.
    """

    folder: Path

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def former_hosts(self) -> Path:
        return self.folder / "former_hosts"

    def find_pinned_host_key(self, endpoint: Endpoint) -> str | None:
        """Return the host key that is pinned for this place as text; None before the first contact."""
        return dict(self.list_pinned_keys()).get(known_hosts_name(endpoint))

    def list_pinned_keys(self) -> Sequence[tuple[str, str]]:
        """Return the current place and key of each pin, oldest first."""
        return _read_hosts(self.known_hosts)

    def list_former_keys(self) -> Sequence[tuple[str, str]]:
        return _read_hosts(self.former_hosts)

    def save_pinned_key(self, endpoint: Endpoint, key: str) -> None:
        place, pins = known_hosts_name(endpoint), self.list_pinned_keys()
        others = [pin for pin in pins if pin[0] != place]
        # The former ones first: a crash between the two then loses none.
        self._add_former([pin for pin in pins if pin[0] == place and pin[1] != key])
        _write_hosts(self.known_hosts, [*others, (place, key)])

    def retire_keys(self) -> None:
        """Make every pin a former one; the lease's key counts as installed nowhere."""
        self._add_former(self.list_pinned_keys())
        self.known_hosts.unlink(missing_ok=True)
        (self.folder / "state.json").unlink(missing_ok=True)

    def delete_pinned_key(self, endpoint: Endpoint) -> None:
        place = known_hosts_name(endpoint)
        pins = self.list_pinned_keys()
        if any(pin[0] == place for pin in pins):
            _write_hosts(self.known_hosts, [pin for pin in pins if pin[0] != place])
        self._save_installed(self._list_installed() - {str(endpoint)})

    def _add_former(self, pins: Sequence[tuple[str, str]]) -> None:
        before = self.list_former_keys()
        added = [pin for pin in pins if pin not in before]
        if added:
            _write_hosts(self.former_hosts, [*before, *added])

    @property
    def is_installed_anywhere(self) -> bool:
        return bool(self._list_installed())

    def is_installed(self, endpoint: Endpoint) -> bool:
        return str(endpoint) in self._list_installed()

    def mark_installed(self, endpoint: Endpoint) -> None:
        self._save_installed(self._list_installed() | {str(endpoint)})

    def _list_installed(self) -> frozenset[str]:
        try:
            found: Any = json.loads(read_private_file(self.folder / "state.json"))
        except (FileNotFoundError, ValueError):
            return frozenset()
        named = found.get("installed") if isinstance(found, dict) else None
        # An earlier version kept one endpoint.
        return frozenset([named] if isinstance(named, str) else map(str, named or ()))

    def _save_installed(self, endpoints: frozenset[str]) -> None:
        if endpoints != self._list_installed():
            write_private_file(
                self.folder / "state.json", json.dumps({"installed": sorted(endpoints)}).encode()
            )


def _read_hosts(path: Path) -> Sequence[tuple[str, str]]:
    """Return the pairs of place and key in a known-hosts file of ours."""
    try:
        lines = read_private_file(path).decode().splitlines()
    except FileNotFoundError:
        return ()
    pairs = (line.strip().partition(" ") for line in lines)
    return [(place, key) for place, _space, key in pairs if key]


def _write_hosts(path: Path, pins: Sequence[tuple[str, str]]) -> None:
    write_private_file(path, "".join(f"{place} {key}\n" for place, key in pins).encode())


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

    def reopen_session(
        self, refusal: Exception, start: Callable[[Any], Awaitable[T]]
    ) -> AbstractAsyncContextManager[T]:
        raise self._not_open_error()

    async def run(
        self,
        command: str,
        *,
        input: str | Secret = "",  # noqa: A002 - the port's
        timeout: float = 60.0,
    ) -> CommandResult:
        raise self._not_open_error()

    def _not_open_error(self) -> UnavailableError:
        return UnavailableError(
            _("{endpoint}: not connected yet").format(endpoint=self.endpoint), retryable=True
        )

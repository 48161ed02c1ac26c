"""Connections to rented machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Protocol

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret


@frozen
class CommandResult:
    """What a remote command did: its exit status (128 and more: ended by a signal), and what it printed."""

    exit_status: int
    stdout: str
    stderr: str


class SshConnection(Protocol):
    """An open connection to one machine."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def transport(self) -> object:
        """The SSH library's own connection (asyncssh's `SSHClientConnection`), for backends that know it."""

    @property
    def key_file(self) -> Path:
        """The lease's private key (0600), for tools that open connections of their own."""

    @property
    def known_hosts(self) -> Path: ...
    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - as in subprocess
        """Run one shell command in the home folder. Dropped: `UnavailableError`; a status is no error."""


class OpenConnection(SshConnection, Protocol):
    """A connection as core itself holds it."""

    @property
    def is_alive(self) -> bool: ...
    async def close(self) -> None: ...
    async def wait_closed(self) -> None:
        """Until it is dropped or closed."""

    async def run_interactive(self, command: str | None) -> int:
        """Run ``command`` (None: the login shell) with this process's own terminal; its exit status.

        Without a terminal of ours the remote command gets none either, but plain pipes. Dropped: `UnavailableError`.
        """


class Reachability(Enum):
    """What a probe of a machine's port shows. OTHER: another machine has the address now."""

    REACHABLE = "answers"
    OTHER_MACHINE = "other"
    REFUSED = "refused"
    NO_ANSWER = "silent"
    UNKNOWN = "unknown"


class PrivateKey(Protocol):
    """A private key of the user's own, opened."""

    def get_fingerprint(self) -> str: ...


class KeyLoader(Protocol):
    """Opens a private key file of the user's own."""

    async def __call__(
        self, path: Path, ask_passphrase: Callable[[], Awaitable[Secret | None]]
    ) -> PrivateKey:
        """The key in ``path``; ``ask_passphrase`` is called when it has one. Not a key, or closed: `UsageError`."""


class Connector(Protocol):
    """Opens connections: by the lease's own key, to the host key that is pinned for the lease."""

    async def open_connection(
        self, lease_id: str, endpoint: Endpoint, password: Secret | None, own_key: PrivateKey | None = None
    ) -> OpenConnection:
        """By the lease's key when it was installed before, else by ``password`` or ``own_key``, which installs it.

        Errors: `UnavailableError` when it does not answer, `AuthError` when it refuses us, `HostKeyChanged`.
        """

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        """Whether the pinned machine is still there; sends nothing that needs a login."""

    async def pin_host_key(self, lease_id: str, endpoint: Endpoint) -> str:
        """Pin the host key of ``endpoint`` for this lease, before anything secret is sent; its fingerprint."""

    def find_pinned_key(self, lease_id: str, endpoint: Endpoint) -> tuple[str, str] | None:
        """The pinned host key as text ("ssh-ed25519 AAAA…") and its fingerprint; None before the first contact."""

    def find_ssh_target(self, lease_id: str, endpoint: Endpoint) -> SshConnection | None:
        """What a tool that connects for itself needs, where the key is installed and the host key pinned."""

    def get_key_files(self, lease_id: str) -> tuple[Path, Path]:
        """The lease's private key and its known hosts."""

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        """A known-hosts file that pins ``host_key`` under ``name``, whatever the address: for a HostKeyAlias."""

    def delete_host_key(self, lease_id: str) -> None:
        """The provider said that the machine was replaced: the next pin starts fresh. The key pair stays."""

    def delete_lease_files(self, lease_id: str) -> None:
        """The lease is over for good: its key pair and its pinned host key are deleted."""


@frozen
class PortPair:
    """``local`` 0: any free one. ``remote`` is on the machine's loopback."""

    local: int
    remote: int


class Tunnel(Protocol):
    """A local port that leads to a port of a machine; it stays open when the connection is dropped."""

    @property
    def port(self) -> int:
        """The local port; known once it listens."""

    async def start(self) -> None:
        """Listen. A port that is taken is a `UsageError`."""

    async def close(self) -> None: ...


class TunnelFactory(Protocol):
    """Makes tunnels; nothing listens before `Tunnel.start`."""

    def __call__(
        self,
        ports: PortPair,
        address: str,
        connect: Callable[[], Awaitable[OpenConnection]],
        report: Callable[[str], None],
    ) -> Tunnel:
        """``connect`` gives an open connection whenever one is needed; ``report`` hears why a client was refused."""

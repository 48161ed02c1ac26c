"""SSH connections to rented machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Protocol

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.terminal_text import ForeignLines


@frozen
class CommandResult:
    """The result of a remote command: exit status (128 or more: ended by a signal) and output, as it came."""

    exit_status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> ForeignLines:
        """What the command says about itself, as it may be shown: its errors, else its output."""
        return ForeignLines((self.stderr or self.stdout).strip())


class SshConnection(Protocol):
    """A connection to one machine, as plugins use it. It is open, except where `Connector.find_ssh_target` is named."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def transport(self) -> object:
        """The SSH library's connection (asyncssh's `SSHClientConnection`), for backends that use it directly."""

    @property
    def key_file(self) -> Path:
        """The lease's private key (0600), for tools that open their own connections."""

    @property
    def known_hosts(self) -> Path: ...
    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - as in subprocess
        """Run a shell command in the home folder; a non-zero exit status is not an error.

        Raises `UnavailableError` if the connection is dropped.
        """


class OpenConnection(SshConnection, Protocol):
    """An open connection, as core itself uses it."""

    @property
    def is_alive(self) -> bool: ...
    async def close(self) -> None: ...
    async def wait_closed(self) -> None:
        """Wait until the connection is dropped or closed."""

    async def run_interactive(self, command: str | None) -> int:
        """Run ``command`` (None: the login shell) with this process's own terminal; return its exit status.

        If we have no terminal, the remote command gets pipes instead. Raises `UnavailableError` if the connection is
        dropped.
        """


class Reachability(Enum):
    """The result of probing a machine's SSH port.

    OTHER_MACHINE: another machine has the address now. REFUSED: nothing listens on the port. NO_ANSWER: no host key was
    presented in time, or none is pinned. UNKNOWN: there was no name resolution or no route, so our own network may be
    down.
    """

    REACHABLE = "reachable"
    OTHER_MACHINE = "other_machine"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"
    UNKNOWN = "unknown"


class PrivateKey(Protocol):
    """One of the user's own private keys, decrypted."""

    def get_fingerprint(self) -> str: ...


class KeyLoader(Protocol):
    """Loads one of the user's own private key files."""

    async def __call__(
        self, path: Path, ask_passphrase: Callable[[], Awaitable[Secret | None]]
    ) -> PrivateKey:
        """Load the key in ``path``; ``ask_passphrase`` is called if it is encrypted.

        Raises `UsageError` if it is not a key or cannot be decrypted.
        """


class Connector(Protocol):
    """Opens connections with the lease's own key, verifying the host key that is pinned for the lease."""

    async def open_connection(
        self, lease_id: str, endpoint: Endpoint, password: Secret | None, own_key: PrivateKey | None = None
    ) -> OpenConnection:
        """Log in with the lease's key if it is installed.

        Otherwise log in with ``password`` or ``own_key``, and then install the lease's key.

        Raises `UnavailableError` if the machine does not answer, `AuthError` if it rejects the login, `HostKeyChanged`.
        """

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        """Check whether the machine with the pinned host key still answers at ``endpoint``; does not log in."""

    async def pin_host_key(self, lease_id: str, endpoint: Endpoint) -> str:
        """Pin the host key of ``endpoint`` for this lease, before anything secret is sent; return its fingerprint."""

    def find_pinned_host_key(self, lease_id: str, endpoint: Endpoint) -> tuple[str, str] | None:
        """Return the pinned host key ("ssh-ed25519 AAAA…") and its fingerprint; None before the first contact."""

    def find_ssh_target(self, lease_id: str, endpoint: Endpoint) -> SshConnection | None:
        """Return what a tool needs to connect by itself: a connection that is **not open**.

        Only its ``endpoint``, ``key_file`` and ``known_hosts`` can be used. None until the lease's key is installed and
        the host key is pinned.
        """

    def get_ssh_files(self, lease_id: str) -> tuple[Path, Path]:
        """Return the paths of the lease's private key and known-hosts file."""

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        """Write a known-hosts file that pins ``host_key`` under ``name``, whatever the address: for a HostKeyAlias."""

    def delete_host_key(self, lease_id: str) -> None:
        """Forget the host key, because the provider reports that the machine was replaced. The key pair stays."""

    def delete_lease_files(self, lease_id: str) -> None:
        """Delete the key pair and the pinned host key of a lease that is over for good."""


@frozen
class PortPair:
    """A forwarded port. ``local`` 0: any free port. ``remote`` is on the machine's loopback interface."""

    local: int
    remote: int


class Tunnel(Protocol):
    """A local port forwarded to a port of a machine; it stays open when the connection is dropped."""

    @property
    def port(self) -> int:
        """The local port; known once it is listening."""

    async def start(self) -> None:
        """Start listening; raises `UsageError` if the port is in use."""

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
        """Make a tunnel. ``connect`` returns an open connection when needed.

        ``report`` is called with an error message when a client of the local port cannot be served.
        """

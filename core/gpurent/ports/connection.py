"""SSH connections to rented machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.terminal_text import ForeignLines

T = TypeVar("T")


@frozen
class CommandResult:
    """The result of a remote command: exit status (128 or more: ended by a signal) and output, as it came.

    What the start files of the login shell print is no part of the output.
    """

    exit_status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> ForeignLines:
        """What the command says about itself, as it may be shown: its errors, else its output."""
        return ForeignLines((self.stderr or self.stdout).strip())


@frozen
class TerminalLine:
    """A line for the login shell, whose script has the user's terminal. It prints ``mark`` before it begins."""

    line: str
    mark: bytes


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
    def reopen_session(
        self, refusal: Exception, start: Callable[[Any], Awaitable[T]]
    ) -> AbstractAsyncContextManager[T]:
        """Open a session that the machine refused, since it allows no further one on the connection.

        ``refusal`` is the library's error, raised again if it means something else. ``start`` opens the session on a
        connection, like `transport`, that was logged in for it alone; it may be called again for another one.

        Raises `RemoteError` if it is refused there too.
        """

    async def run(
        self,
        command: str,
        *,
        input: str | Secret = "",  # noqa: A002 - as in subprocess
        timeout: float = 60.0,
    ) -> CommandResult:
        """Run a script of the POSIX shell in the home folder; a non-zero exit status is not an error.

        The login shell may be another one, and its start files may do what they like: HOME is that of the machine's
        user database, and what they print is dropped. ``input`` that is a `Secret` is in no command line.

        Raises `UnavailableError` if the connection is dropped, `RemoteError` with the machine's own words if the login
        shell does not get as far as the script.
        """


class OpenConnection(SshConnection, Protocol):
    """An open connection, as core itself uses it."""

    @property
    def is_alive(self) -> bool: ...
    @property
    def is_session_limited(self) -> bool:
        """Whether the machine has refused a session, so that further ones log in by themselves."""

    async def close(self) -> None: ...
    async def wait_closed(self) -> None:
        """Wait until the connection is dropped or closed."""

    async def run_interactive(self, command: TerminalLine | str | None) -> int:
        """Run ``command`` (None: the login shell) with this process's own terminal; return its exit status.

        If we have no terminal, the remote command gets pipes instead. What start files print before a `TerminalLine`
        begins goes to stderr; one that never begins raises `RemoteError`. Raises `UnavailableError` if the connection
        is dropped.
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


@frozen(kw_only=True)
class HostKey:
    """A machine's host key: ``line`` is ``ssh-ed25519 AAAA…``, ``fingerprint`` ``SHA256:…``."""

    line: str
    fingerprint: str


@frozen(kw_only=True)
class HostKeyPin:
    """A host key that a lease has pinned; ``place`` is as in a known-hosts file.

    ``is_current`` false: another one took its place, or our own order gave the lease another machine.
    """

    place: str
    key: HostKey
    is_current: bool


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
    """Opens connections with the lease's own key, verifying the host key that is pinned for the lease.

    It decides nothing: whether a machine is contacted, and what is pinned, is for `workflow/connection/contacts.py`.
    """

    async def resolve_host(self, endpoint: Endpoint) -> Sequence[str]:
        """Return the numeric addresses of the endpoint's host; raises `UnavailableError` if there is none now."""

    async def fetch_host_key(self, endpoint: Endpoint, addresses: Sequence[str]) -> HostKey:
        """Return the host key that the machine shows at the first of ``addresses`` that answers; sends nothing.

        Raises `UnavailableError` if it does not answer.
        """

    async def open_connection(
        self,
        lease_id: str,
        endpoint: Endpoint,
        password: Secret | None,
        own_key: PrivateKey | None = None,
        *,
        addresses: Sequence[str] = (),
    ) -> OpenConnection:
        """Log in with the lease's key if it is installed.

        Otherwise log in with ``password`` or ``own_key``, and then install the lease's key. Only ``addresses`` are
        dialled, so that no other answer of the name's servers counts; without them, the name is looked up.

        Raises `UnavailableError` if the machine does not answer, `AuthError` if it rejects the login, `HostKeyChanged`
        if it does not show the pinned host key, or none is pinned.
        """

    async def check_password(
        self, endpoint: Endpoint, key: HostKey, password: Secret, addresses: Sequence[str]
    ) -> None:
        """Log in with ``password`` to the machine with this host key and hang up; pins and installs nothing.

        Raises as `open_connection` does.
        """

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        """Check whether the machine with the pinned host key still answers at ``endpoint``; does not log in."""

    def pin_host_key(self, lease_id: str, endpoint: Endpoint, key: HostKey) -> None:
        """Pin the host key of ``endpoint`` for this lease; one that was pinned there is kept as no longer current."""

    def find_pinned_host_key(self, lease_id: str, endpoint: Endpoint) -> HostKey | None:
        """Return the host key that is pinned for this place; None before the first contact."""

    def list_host_keys(self, lease_id: str) -> Sequence[HostKeyPin]:
        """Return every host key that the lease has ever pinned, oldest first."""

    def retire_host_keys(self, lease_id: str) -> None:
        """Keep all pins as no longer current: our own order gave the lease another machine. The key pair stays."""

    def unpin_host_key(self, lease_id: str, endpoint: Endpoint) -> None:
        """Forget the host key of this place, where the machine is not the lease's after all."""

    def find_ssh_target(self, lease_id: str, endpoint: Endpoint) -> SshConnection | None:
        """Return what a tool needs to connect by itself: a connection that is **not open**.

        Only its ``endpoint``, ``key_file`` and ``known_hosts`` can be used. None until the lease's key is installed and
        the host key is pinned.
        """

    def get_public_key(self, lease_id: str) -> str:
        """Return the lease's public key as a line of an authorized_keys file; the key pair is made if there is none."""

    def get_ssh_files(self, lease_id: str) -> tuple[Path, Path]:
        """Return the paths of the lease's private key and known-hosts file."""

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        """Write a known-hosts file that pins ``host_key`` under ``name``, whatever the address: for a HostKeyAlias."""

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

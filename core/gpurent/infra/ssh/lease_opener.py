"""Opens a connection to a leased machine: checks its host key, logs in, installs the lease's key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import asyncssh
from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError
from gpurent.infra.platform.system import read_private_file, write_private_file
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.infra.ssh.host_keys import CONNECT_ERRORS, make_host_key_error
from gpurent.infra.ssh.lease_files import LeaseFiles, known_hosts_name
from gpurent.infra.ssh.sockets import make_unreachable_error, open_socket
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_text
from gpurent.ports.connection import PrivateKey
from gpurent.remote.authorized_keys import install_key_command, parse_installed_path
from gpurent.terminal_text import ForeignText

# The cipher is the largest cost of a channel; CPUs have instructions for these two.
_FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_MAX_SAID = 300


def load_or_make_lease_key(files: LeaseFiles) -> asyncssh.SSHKey:
    """Load the lease's private key; create it if there is none yet."""
    try:
        return asyncssh.import_private_key(read_private_file(files.key_file))
    except FileNotFoundError:
        key = asyncssh.generate_private_key("ssh-ed25519", comment="gpurent")
        write_private_file(files.key_file, key.export_private_key())
        write_private_file(files.folder / "key.pub", key.export_public_key())
        return key


def format_public_key(key: asyncssh.SSHKey) -> str:
    """Return the public key as a line of an authorized_keys file, without its end."""
    return key.export_public_key("openssh").decode().strip()


@frozen
class LeaseOpener:
    """Opens connections for one lease at one address. Times in seconds; ``addresses`` are the only ones dialled."""

    files: LeaseFiles
    endpoint: Endpoint
    connect_timeout: float
    keepalive: float
    addresses: Sequence[str] = ()

    def find_pinned_host_key(self) -> asyncssh.SSHKey | None:
        """Return the pinned host key; None before the first contact with this place."""
        text = self.files.find_pinned_host_key(self.endpoint)
        return None if text is None else asyncssh.import_public_key(text)

    async def open_connection(
        self, password: Secret | None, own_key: PrivateKey | None
    ) -> AsyncsshConnection:
        key = load_or_make_lease_key(self.files)
        may_install = password is not None or own_key is not None
        is_installed = self.files.is_installed(self.endpoint)
        if is_installed or not may_install:
            try:
                connection = await self._connect(key)
            except AuthError:
                if not may_install and not self.files.is_installed_anywhere:
                    raise self._make_unknown_error() from None
                if not may_install:
                    raise
            else:
                self.files.mark_installed(self.endpoint)
                return connection
        first = await self._connect(cast("asyncssh.SSHKey | None", own_key), password)
        try:
            path = await _install_key(first, key)
        finally:
            await first.close()
        try:
            connection = await self._connect(key)
        except AuthError as error:
            raise self._make_unused_key_error(path, error) from None
        self.files.mark_installed(self.endpoint)
        return connection

    def _make_unused_key_error(self, path: str, error: AuthError) -> AuthError:
        return AuthError(
            _("{endpoint} does not accept the lease's key, which is in {path} there").format(
                endpoint=self.endpoint, path=path
            ),
            hint=_(
                "Its SSH server may read keys elsewhere (AuthorizedKeysFile), or accept none "
                "(PubkeyAuthentication). Ask who runs the machine."
            ),
            detail=error.message,
        )

    def _make_unknown_error(self) -> AuthError:
        return AuthError(
            _(
                "{endpoint}: no password is known for this machine, and it does not accept the lease's key"
            ).format(endpoint=self.endpoint),
            hint=_("Was the machine rented on another computer?"),
        )

    async def _connect(
        self, key: asyncssh.SSHKey | None, password: Secret | None = None
    ) -> AsyncsshConnection:
        """Log in with ``key`` if it is given, else with ``password``."""
        login = _Login(self.endpoint, key, password, self.files.find_pinned_host_key(self.endpoint) or "")

        async def dial() -> asyncssh.SSHClientConnection:
            return await _open_transport(login, self.addresses, self.connect_timeout, self.keepalive)

        return AsyncsshConnection(
            await dial(), self.endpoint, self.files.key_file, self.files.known_hosts, dial
        )


@frozen
class _Login:
    """``host_key`` is the only one that is accepted, ``ssh-ed25519 AAAA…``; empty: none is."""

    endpoint: Endpoint
    key: asyncssh.SSHKey | None
    password: Secret | None
    host_key: str

    @property
    def known_hosts(self) -> str:
        return f"{known_hosts_name(self.endpoint)} {self.host_key}\n" if self.host_key else ""


async def _open_transport(
    login: _Login, addresses: Sequence[str], timeout: float, keepalive: float
) -> asyncssh.SSHClientConnection:
    endpoint, key, password = login.endpoint, login.key, login.password
    listener = _LoginListener()
    try:
        async with asyncio.timeout(timeout * 2):
            made = await open_socket(endpoint, addresses)
            try:
                return await asyncssh.connect(
                    endpoint.address,
                    endpoint.port,
                    client_factory=lambda: listener,
                    sock=made,
                    username=endpoint.user,
                    password=password.reveal() if password and not key else None,
                    client_keys=[key] if key else None,
                    preferred_auth="publickey" if key else "password,keyboard-interactive",
                    known_hosts=asyncssh.import_known_hosts(login.known_hosts),
                    config=None,
                    agent_path=None,
                    agent_forwarding=False,
                    gss_host=None,
                    x509_trusted_certs=None,
                    compression_algs=["none"],
                    encryption_algs=_FAST_CIPHERS,
                    keepalive_interval=keepalive,
                    keepalive_count_max=4,
                    login_timeout=timeout,
                    connect_timeout=timeout,
                )
            except BaseException:
                made.close()
                raise
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
        # KeyExchangeFailed: the machine no longer has a host key of the pinned type.
        pinned = asyncssh.import_public_key(login.host_key) if login.host_key else None
        raise await make_host_key_error(endpoint, pinned, timeout, addresses) from None
    except asyncssh.PermissionDenied:
        raise _make_rejected_error(endpoint, is_key=key is not None, said=listener.said) from None
    except CONNECT_ERRORS as error:
        raise make_unreachable_error(endpoint, error) from None


async def check_password(
    endpoint: Endpoint, host_key: str, password: Secret, addresses: Sequence[str], timeout: float
) -> None:
    """See `gpurent.ports.connection.Connector.check_password`."""
    transport = await _open_transport(_Login(endpoint, None, password, host_key), addresses, timeout, 0)
    transport.close()
    await transport.wait_closed()


class _LoginListener(asyncssh.SSHClient):
    """Keeps what the machine says during the login."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    @property
    def said(self) -> ForeignText:
        return ForeignText(" ".join(" ".join(self._texts).split())[:_MAX_SAID])

    def auth_banner_received(self, msg: str, lang: str) -> None:
        self._texts.append(msg)

    def password_change_requested(self, prompt: str, lang: str) -> tuple[str, str]:
        self._texts.append(prompt or _("The password has expired and must be changed."))
        return NotImplemented  # type: ignore[no-any-return]  # nobody can type another one here


def _make_rejected_error(endpoint: Endpoint, *, is_key: bool, said: ForeignText) -> AuthError:
    text = _("{endpoint} rejected the key") if is_key else _("{endpoint} rejected the password")
    text = text.format(endpoint=endpoint)
    if said:
        text = _("{problem}; it said: {said}").format(problem=text, said=quote_text(said))
    return AuthError(text, hint=_("Its password or its authorized keys were changed."), detail=said)


async def _install_key(ssh: AsyncsshConnection, key: asyncssh.SSHKey) -> str:
    """Install the key and return the path of the file on the machine that has it now."""
    ran = await ssh.run(install_key_command(format_public_key(key)))
    path = parse_installed_path(ran.stdout)
    if ran.exit_status or not path:
        raise AuthError(
            _("the lease's key could not be installed on the machine: {said}").format(
                said=quote_text(ran.said[:_MAX_SAID]) if ran.said else ran.exit_status
            ),
            detail=ran.said,
            hint=_("Is its disk full, or its home directory read-only?"),
        )
    return path

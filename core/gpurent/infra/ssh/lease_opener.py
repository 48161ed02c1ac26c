"""Opens a connection to a leased machine: pins its host key, logs in, installs the lease's key."""

from __future__ import annotations

import asyncio
from typing import cast

import asyncssh
from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, UnavailableError
from gpurent.infra.platform.posix.system import read_private_file, write_private_file
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.infra.ssh.lease_files import LeaseFiles
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.connection import PrivateKey, Reachability
from gpurent.remote.shell import sh_command

PROBE_TIMEOUT = 8.0
# What the library raises for a server that cannot be reached, or does not speak SSH as it should. ValueError: text of
# the server's that is not in the encoding that it must have.
CONNECT_ERRORS = (OSError, TimeoutError, asyncssh.Error, ValueError)


async def fetch_host_key(endpoint: Endpoint, timeout: float) -> asyncssh.SSHKey:
    """Return the host key that the machine presents now; raises `UnavailableError` if it does not answer."""
    try:
        key = await _request_host_key(endpoint, timeout)
    except CONNECT_ERRORS as error:
        raise make_unreachable_error(endpoint, error) from None
    if key is None:
        raise UnavailableError(
            _("{endpoint} presented no host key").format(endpoint=endpoint), retryable=True
        )
    return key


async def probe_host_key(endpoint: Endpoint, pinned: asyncssh.SSHKey | None) -> Reachability:
    """Check whether the machine with the host key ``pinned`` is still there; sends nothing that needs a login."""
    try:
        key = await _request_host_key(endpoint, PROBE_TIMEOUT)
    except ConnectionRefusedError:
        return Reachability.REFUSED
    except (TimeoutError, asyncssh.Error, ConnectionError, ValueError):
        return Reachability.NO_ANSWER
    except OSError:
        # No DNS or no route: our own network may be down.
        return Reachability.UNKNOWN
    if key is None or pinned is None:
        return Reachability.NO_ANSWER
    same = key.get_fingerprint() == pinned.get_fingerprint()
    return Reachability.REACHABLE if same else Reachability.OTHER_MACHINE


async def make_host_key_error(
    endpoint: Endpoint, pinned: asyncssh.SSHKey | None, timeout: float
) -> HostKeyChanged:
    """Make the error that names both host keys."""
    shown = await fetch_host_key(endpoint, timeout)
    return HostKeyChanged(
        _("{endpoint} presented the host key {shown}, but {pinned} is pinned for this lease").format(
            endpoint=endpoint,
            shown=shown.get_fingerprint(),
            pinned=pinned.get_fingerprint() if pinned else _("none"),
        ),
        hint=_(
            "Someone may be intercepting the connection, or the machine was replaced. No password was sent."
        ),
    )


def make_unreachable_error(endpoint: Endpoint, error: Exception) -> UnavailableError:
    if isinstance(error, ValueError):
        text = _("{endpoint} does not answer as an SSH server should").format(endpoint=endpoint)
    else:
        text = _("{endpoint} does not answer: {what}").format(endpoint=endpoint, what=describe_error(error))
    return UnavailableError(text, retryable=True)


async def _request_host_key(endpoint: Endpoint, timeout: float) -> asyncssh.SSHKey | None:
    async with asyncio.timeout(timeout):
        return await asyncssh.get_server_host_key(endpoint.address, endpoint.port, config=None)


# The cipher is the largest cost of a channel; CPUs have instructions for these two.
_FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
# Runs in any sh. Adds the line read from stdin unless it is there, by rename: a full disk or a dropped connection
# leaves the old file.
_INSTALL_KEY_SCRIPT = r"""
umask 077
mkdir -p "$HOME/.ssh" && chmod 700 "$HOME/.ssh" && cd "$HOME/.ssh" || exit 1
IFS= read -r line
touch authorized_keys || exit 1
grep -qxF -- "$line" authorized_keys && exit 0
fresh=authorized_keys.gpurent.$$
{
  cat authorized_keys &&
  { [ -z "$(tail -c 1 authorized_keys)" ] || echo; } &&
  printf '%s\n' "$line"
} > "$fresh" && chmod 600 "$fresh" && mv "$fresh" authorized_keys || { rm -f "$fresh"; exit 1; }
"""


def load_or_make_lease_key(files: LeaseFiles) -> asyncssh.SSHKey:
    """Load the lease's private key; create it if there is none yet."""
    try:
        return asyncssh.import_private_key(read_private_file(files.key_file))
    except FileNotFoundError:
        key = asyncssh.generate_private_key("ssh-ed25519", comment="gpurent")
        write_private_file(files.key_file, key.export_private_key())
        write_private_file(files.folder / "key.pub", key.export_public_key())
        return key


@frozen
class LeaseOpener:
    """Opens connections for one lease at one address. Times in seconds."""

    files: LeaseFiles
    endpoint: Endpoint
    connect_timeout: float
    keepalive: float

    def find_pinned_host_key(self) -> asyncssh.SSHKey | None:
        """Return the pinned host key; None before the first contact with this address."""
        text = self.files.find_pinned_host_key(self.endpoint)
        return None if text is None else asyncssh.import_public_key(text)

    async def pin_host_key(self) -> str:
        """Return the fingerprint of the pinned host key; pin it first if needed.

        If it is pinned already, the machine is not contacted: `open_connection` compares the keys.
        """
        key = self.find_pinned_host_key()
        if key is None:
            key = await fetch_host_key(self.endpoint, self.connect_timeout)
            self.files.save_pinned_key(self.endpoint, key.export_public_key("openssh").decode().strip())
        return key.get_fingerprint()

    async def open_connection(
        self, password: Secret | None, own_key: PrivateKey | None
    ) -> AsyncsshConnection:
        await self.pin_host_key()
        key = load_or_make_lease_key(self.files)
        may_install = password is not None or own_key is not None
        if self.files.is_installed(self.endpoint):
            try:
                return await self._connect(key)
            except AuthError:
                if not may_install:
                    raise
        if not may_install:
            raise AuthError(
                _("{endpoint}: no password is known for this machine").format(endpoint=self.endpoint),
                hint=_("Was the machine rented on another computer?"),
            )
        first = await self._connect(cast("asyncssh.SSHKey | None", own_key), password)
        try:
            await _install_key(first, key)
        finally:
            await first.close()
        connection = await self._connect(key)
        self.files.mark_installed(self.endpoint)
        return connection

    async def _connect(
        self, key: asyncssh.SSHKey | None, password: Secret | None = None
    ) -> AsyncsshConnection:
        """Log in with ``key`` if it is given, else with ``password``."""
        try:
            async with asyncio.timeout(self.connect_timeout * 2):
                transport = await asyncssh.connect(
                    self.endpoint.address,
                    self.endpoint.port,
                    username=self.endpoint.user,
                    password=password.reveal() if password and not key else None,
                    client_keys=[key] if key else None,
                    preferred_auth="publickey" if key else "password,keyboard-interactive",
                    known_hosts=asyncssh.import_known_hosts(
                        read_private_file(self.files.known_hosts).decode()
                    ),
                    config=None,
                    agent_path=None,
                    agent_forwarding=False,
                    gss_host=None,
                    x509_trusted_certs=None,
                    compression_algs=["none"],
                    encryption_algs=_FAST_CIPHERS,
                    keepalive_interval=self.keepalive,
                    keepalive_count_max=4,
                    login_timeout=self.connect_timeout,
                    connect_timeout=self.connect_timeout,
                )
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
            # KeyExchangeFailed: the machine no longer has a host key of the pinned type.
            raise await make_host_key_error(
                self.endpoint, self.find_pinned_host_key(), self.connect_timeout
            ) from None
        except asyncssh.PermissionDenied:
            rejected = _("{endpoint} rejected the key") if key else _("{endpoint} rejected the password")
            raise AuthError(
                rejected.format(endpoint=self.endpoint),
                hint=_("Its password or its authorized keys were changed."),
            ) from None
        except CONNECT_ERRORS as error:
            raise make_unreachable_error(self.endpoint, error) from None
        return AsyncsshConnection(transport, self.endpoint, self.files.key_file, self.files.known_hosts)


async def _install_key(ssh: AsyncsshConnection, key: asyncssh.SSHKey) -> None:
    line = key.export_public_key("openssh").decode().strip() + "\n"
    ran = await ssh.run(sh_command(_INSTALL_KEY_SCRIPT), input=line)
    if ran.exit_status:
        raise AuthError(
            _("the lease's key could not be installed on the machine"),
            detail=ran.stderr[:300],
            hint=_("Is its disk full, or its home directory read-only?"),
        )

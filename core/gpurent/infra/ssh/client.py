"""SSH to leased machines: a pinned host key and a key pair for each lease, nothing of the user's own set-up."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
from enum import Enum
from pathlib import Path

import asyncssh

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, UnavailableError
from gpurent.infra.platform.posix.files import private_folder, read_private, write_private
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.infra.ssh.target import installed, place
from gpurent.locale import _

# The cipher costs more than all else of a channel's work; processors have these two built in.
_QUICK_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
# Runs under any sh; adds the line read from stdin once, by rename: a full disk or a lost line leaves the old file.
_INSTALL = r"""
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
REACH = 8.0


class Reachability(Enum):
    """What a knock at a machine's door tells. OTHER: somebody else's machine has the address now."""

    ANSWERS = "answers"
    OTHER = "other"
    REFUSED = "refused"
    SILENT = "silent"
    UNKNOWN = "unknown"


class Ssh:
    """``folder`` keeps one sub-folder per lease: ``key``, ``key.pub``, ``known_hosts``, ``state.json``."""

    def __init__(self, folder: Path, *, connect_timeout: float = 20.0, keepalive: float = 15.0) -> None:
        self._folder = folder
        self._connect_timeout = connect_timeout
        self._keepalive = keepalive

    def _room(self, lease_id: str) -> Path:
        return private_folder(self._folder / lease_id)

    def files(self, lease_id: str) -> tuple[Path, Path]:
        """The lease's private key and its known hosts."""
        room = self._room(lease_id)
        self._key(room)
        return room / "key", room / "known_hosts"

    def pinned(self, lease_id: str, endpoint: Endpoint) -> tuple[str, str] | None:
        """The pinned host key as text ("ssh-ed25519 AAAA…") and its fingerprint; None before the first contact."""
        key = self._pinned(self._room(lease_id), endpoint)
        if key is None:
            return None
        kind, text = key.export_public_key("openssh").decode().split()[:2]
        return f"{kind} {text}", key.get_fingerprint()

    def alias(self, lease_id: str, name: str, host_key: str) -> Path:
        """A known-hosts file that pins ``host_key`` under ``name``, whatever the address: for a HostKeyAlias."""
        path = self._room(lease_id) / "known_hosts.alias"
        write_private(path, f"{name} {host_key}\n".encode())
        return path

    def forget(self, lease_id: str) -> None:
        """The provider said that the machine was replaced: the next pin starts fresh. The key pair stays."""
        room = self._room(lease_id)
        (room / "known_hosts").unlink(missing_ok=True)
        (room / "state.json").unlink(missing_ok=True)

    def drop(self, lease_id: str) -> None:
        """The lease is over for good: its key is of no more use."""
        shutil.rmtree(self._folder / lease_id, ignore_errors=True)

    def _key(self, room: Path) -> asyncssh.SSHKey:
        path = room / "key"
        try:
            return asyncssh.import_private_key(read_private(path))
        except FileNotFoundError:
            key = asyncssh.generate_private_key("ssh-ed25519", comment="gpurent")
            write_private(path, key.export_private_key())
            write_private(room / "key.pub", key.export_public_key())
            return key

    # pinning

    async def pin(self, lease_id: str, endpoint: Endpoint) -> str:
        """Pin the host key of ``endpoint`` for this lease, before anything secret is sent; its fingerprint.

        Pinned already: the pinned one, without a look at the machine; `open` is what compares.
        """
        room = self._room(lease_id)
        known = self._pinned(room, endpoint)
        if known is not None:
            return known.get_fingerprint()
        key = await self._fetch(endpoint)
        line = f"{place(endpoint)} {key.export_public_key('openssh').decode().strip()}\n"
        write_private(room / "known_hosts", line.encode())
        return key.get_fingerprint()

    async def _fetch(self, endpoint: Endpoint) -> asyncssh.SSHKey:
        try:
            async with asyncio.timeout(self._connect_timeout):
                key = await asyncssh.get_server_host_key(endpoint.address, endpoint.port, config=None)
        except (OSError, TimeoutError, asyncssh.Error) as error:
            raise self._unreachable(endpoint, error) from None
        if key is None:
            raise UnavailableError(
                _("{endpoint} shows no host key").format(endpoint=endpoint), retryable=True
            )
        return key

    def _pinned(self, room: Path, endpoint: Endpoint) -> asyncssh.SSHKey | None:
        try:
            text = read_private(room / "known_hosts").decode()
        except FileNotFoundError:
            return None
        where, _, key = text.strip().partition(" ")
        if where != place(endpoint):
            # A new address that came from the provider is a new machine.
            return None
        return asyncssh.import_public_key(key)

    async def _compare(self, room: Path, endpoint: Endpoint) -> HostKeyChanged:
        pinned = self._pinned(room, endpoint)
        shown = await self._fetch(endpoint)
        return HostKeyChanged(
            _("{endpoint} shows the host key {shown}, but {pinned} was pinned for this lease").format(
                endpoint=endpoint,
                shown=shown.get_fingerprint(),
                pinned=pinned.get_fingerprint() if pinned else _("none"),
            ),
            hint=_("Somebody may be in between, or the machine was replaced. No password was sent."),
        )

    # opening

    async def open(
        self,
        lease_id: str,
        endpoint: Endpoint,
        password: Secret | None,
        own: asyncssh.SSHKey | None = None,
    ) -> AsyncsshConnection:
        """An open link: by the lease's key when it was installed before, else by ``password``, which installs it.

        ``own`` is a key of the user's that lets us in the first time, in the password's place.

        Errors: `UnavailableError` when it does not answer, `AuthError` when it refuses us, `HostKeyChanged`.
        """
        room = self._room(lease_id)
        await self.pin(lease_id, endpoint)
        key = self._key(room)
        if installed(room, endpoint):
            try:
                return self._link(await self._connect(room, endpoint, key=key), endpoint, room)
            except AuthError:
                if password is None and own is None:
                    raise
        if password is None and own is None:
            raise AuthError(
                _("{endpoint}: no password is known for this machine").format(endpoint=endpoint),
                hint=_("Was the lease made on another computer?"),
            )
        entered = await self._connect(room, endpoint, key=own, password=None if own else password)
        first = self._link(entered, endpoint, room)
        try:
            await self._install(first, key)
        finally:
            await first.aclose()
        connection = await self._connect(room, endpoint, key=key)
        write_private(room / "state.json", json.dumps({"installed": str(endpoint)}).encode())
        return self._link(connection, endpoint, room)

    async def reach(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        """Whether the pinned machine is still there; sends nothing that needs a login."""
        try:
            async with asyncio.timeout(REACH):
                key = await asyncssh.get_server_host_key(endpoint.address, endpoint.port, config=None)
        except ConnectionRefusedError:
            return Reachability.REFUSED
        except (TimeoutError, asyncssh.Error, ConnectionError):
            return Reachability.SILENT
        except OSError:
            # No name, no route: it may be our own network that is down.
            return Reachability.UNKNOWN
        pinned = self._pinned(self._room(lease_id), endpoint)
        if key is None or pinned is None:
            return Reachability.SILENT
        same = key.get_fingerprint() == pinned.get_fingerprint()
        return Reachability.ANSWERS if same else Reachability.OTHER

    def _link(
        self, connection: asyncssh.SSHClientConnection, endpoint: Endpoint, room: Path
    ) -> AsyncsshConnection:
        return AsyncsshConnection(connection, endpoint, room / "key", room / "known_hosts")

    async def _install(self, link: AsyncsshConnection, key: asyncssh.SSHKey) -> None:
        line = key.export_public_key("openssh").decode().strip() + "\n"
        ran = await link.run(f"sh -c {shlex.quote(_INSTALL)}", input=line)
        if ran.status:
            raise AuthError(
                _("the lease's key could not be installed on the machine"),
                detail=ran.err[:300],
                hint=_("Is its disk full, or its home read-only?"),
            )

    async def _connect(
        self,
        room: Path,
        endpoint: Endpoint,
        *,
        key: asyncssh.SSHKey | None = None,
        password: Secret | None = None,
    ) -> asyncssh.SSHClientConnection:
        try:
            async with asyncio.timeout(self._connect_timeout * 2):
                return await asyncssh.connect(
                    endpoint.address,
                    endpoint.port,
                    username=endpoint.user,
                    password=password.reveal() if password else None,
                    client_keys=[key] if key else None,
                    preferred_auth="publickey" if key else "password,keyboard-interactive",
                    known_hosts=asyncssh.import_known_hosts(read_private(room / "known_hosts").decode()),
                    config=None,
                    agent_path=None,
                    agent_forwarding=False,
                    gss_host=None,
                    x509_trusted_certs=None,
                    compression_algs=["none"],
                    encryption_algs=_QUICK_CIPHERS,
                    keepalive_interval=self._keepalive,
                    keepalive_count_max=4,
                    login_timeout=self._connect_timeout,
                    connect_timeout=self._connect_timeout,
                )
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
            # The latter: it has no key of the pinned kind any more.
            raise await self._compare(room, endpoint) from None
        except asyncssh.PermissionDenied:
            raise AuthError(
                _("{endpoint} refused the {what}").format(
                    endpoint=endpoint, what=_("key") if key else _("password")
                ),
                hint=_("The machine still runs and costs money; give it back, or mend its password."),
            ) from None
        except (OSError, TimeoutError, asyncssh.Error) as error:
            raise self._unreachable(endpoint, error) from None

    def _unreachable(self, endpoint: Endpoint, error: Exception) -> UnavailableError:
        what = str(error) or type(error).__name__
        return UnavailableError(
            _("{endpoint} does not answer: {what}").format(endpoint=endpoint, what=what[:200]), retryable=True
        )

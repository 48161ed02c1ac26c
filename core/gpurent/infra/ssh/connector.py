"""SSH to leased machines, with a pinned host key and a key pair for each lease; ignores the user's SSH configuration.

Of the user's own files, only a private key may be used, for the first login.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import UsageError
from gpurent.infra.platform.system import check_private_file, make_private_folder, write_private_file
from gpurent.infra.ssh.lease_files import LeaseFiles, SshTarget
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.connection import HostKey, HostKeyPin, PrivateKey, Reachability

if TYPE_CHECKING:
    import asyncssh

    from gpurent.infra.ssh.connection import AsyncsshConnection
    from gpurent.infra.ssh.lease_opener import LeaseOpener


@frozen
class SshConnector:
    """Implements `gpurent.ports.connection.Connector`. The SSH library is loaded by the first call that needs it.

    ``folder`` contains a folder for each lease (`LeaseFiles`). Times in seconds.
    """

    folder: Path
    connect_timeout: float = 20.0
    keepalive: float = 15.0

    async def resolve_host(self, endpoint: Endpoint) -> Sequence[str]:
        from gpurent.infra.ssh.sockets import resolve_host

        return await resolve_host(endpoint, self.connect_timeout)

    async def fetch_host_key(self, endpoint: Endpoint, addresses: Sequence[str]) -> HostKey:
        from gpurent.infra.ssh.host_keys import fetch_host_key

        return _make_host_key(await fetch_host_key(endpoint, self.connect_timeout, addresses))

    async def open_connection(
        self,
        lease_id: str,
        endpoint: Endpoint,
        password: Secret | None,
        own_key: PrivateKey | None = None,
        *,
        addresses: Sequence[str] = (),
    ) -> AsyncsshConnection:
        opener = self._make_opener(lease_id, endpoint, addresses)
        return await opener.open_connection(password, own_key)

    async def check_password(
        self, endpoint: Endpoint, key: HostKey, password: Secret, addresses: Sequence[str]
    ) -> None:
        from gpurent.infra.ssh.lease_opener import check_password

        await check_password(endpoint, key.line, password, addresses, self.connect_timeout)

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        from gpurent.infra.ssh.host_keys import probe_host_key

        return await probe_host_key(endpoint, self._make_opener(lease_id, endpoint).find_pinned_host_key())

    def pin_host_key(self, lease_id: str, endpoint: Endpoint, key: HostKey) -> None:
        self._make_lease_files(lease_id).save_pinned_key(endpoint, key.line)

    def find_pinned_host_key(self, lease_id: str, endpoint: Endpoint) -> HostKey | None:
        key = self._make_opener(lease_id, endpoint).find_pinned_host_key()
        return _make_host_key(key) if key is not None else None

    def list_host_keys(self, lease_id: str) -> Sequence[HostKeyPin]:
        import asyncssh

        files = LeaseFiles(self.folder / lease_id)
        return [
            HostKeyPin(
                place=place, key=_make_host_key(asyncssh.import_public_key(text)), is_current=is_current
            )
            for is_current, pins in ((False, files.list_former_keys()), (True, files.list_pinned_keys()))
            for place, text in pins
        ]

    def retire_host_keys(self, lease_id: str) -> None:
        LeaseFiles(self.folder / lease_id).retire_keys()

    def unpin_host_key(self, lease_id: str, endpoint: Endpoint) -> None:
        LeaseFiles(self.folder / lease_id).delete_pinned_key(endpoint)

    def find_ssh_target(self, lease_id: str, endpoint: Endpoint) -> SshTarget | None:
        files = LeaseFiles(self.folder / lease_id)
        if files.find_pinned_host_key(endpoint) is None or not files.is_installed(endpoint):
            return None
        return SshTarget(endpoint, files.key_file, files.known_hosts)

    def get_ssh_files(self, lease_id: str) -> tuple[Path, Path]:
        from gpurent.infra.ssh.lease_opener import load_or_make_lease_key

        files = self._make_lease_files(lease_id)
        load_or_make_lease_key(files)
        return files.key_file, files.known_hosts

    def get_public_key(self, lease_id: str) -> str:
        from gpurent.infra.ssh.lease_opener import format_public_key, load_or_make_lease_key

        return format_public_key(load_or_make_lease_key(self._make_lease_files(lease_id)))

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        path = self._make_lease_files(lease_id).folder / "known_hosts.alias"
        write_private_file(path, f"{name} {host_key}\n".encode())
        return path

    def delete_lease_files(self, lease_id: str) -> None:
        shutil.rmtree(self.folder / lease_id, ignore_errors=True)

    def _make_lease_files(self, lease_id: str) -> LeaseFiles:
        return LeaseFiles(make_private_folder(self.folder / lease_id))

    def _make_opener(self, lease_id: str, endpoint: Endpoint, addresses: Sequence[str] = ()) -> LeaseOpener:
        from gpurent.infra.ssh.lease_opener import LeaseOpener

        files = self._make_lease_files(lease_id)
        return LeaseOpener(files, endpoint, self.connect_timeout, self.keepalive, addresses)


def _make_host_key(key: asyncssh.SSHKey) -> HostKey:
    kind, text = key.export_public_key("openssh").decode().split()[:2]
    return HostKey(line=f"{kind} {text}", fingerprint=key.get_fingerprint())


MAX_KEY_BYTES = 64 * 1024


async def load_private_key(
    path: Path, ask_passphrase: Callable[[], Awaitable[Secret | None]]
) -> asyncssh.SSHKey:
    """Load a private key; a `gpurent.ports.connection.KeyLoader`."""
    import asyncssh

    data = _read_key_file(path)
    try:
        return asyncssh.import_private_key(data)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError, ValueError):
        # In some formats an encrypted key without its passphrase raises an import error.
        pass
    given = await ask_passphrase()
    try:
        return asyncssh.import_private_key(data, given.reveal() if given else None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise UsageError(
            _("{path} contains no usable private key").format(path=path),
            hint=_("Wrong passphrase? The file must contain the private key: -----BEGIN … PRIVATE KEY-----"),
        ) from None


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            check_private_file(path, file.fileno())
            data = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {why}").format(path=path, why=describe_error(error))
        ) from None
    if data.startswith(b"PuTTY-User-Key-File"):
        raise UsageError(
            _("{path} is a PuTTY key").format(path=path),
            hint=_("Convert it first: puttygen {path} -O private-openssh -o key").format(path=path),
        )
    return data

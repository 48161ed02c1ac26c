"""SSH to leased machines, with a pinned host key and a key pair for each lease; ignores the user's SSH configuration.

Of the user's own files, only a private key may be used, for the first login.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import UsageError
from gpurent.infra.platform.posix.system import check_private_mode, make_private_folder, write_private_file
from gpurent.infra.ssh.lease_files import LeaseFiles, SshTarget
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.connection import PrivateKey, Reachability

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

    async def open_connection(
        self, lease_id: str, endpoint: Endpoint, password: Secret | None, own_key: PrivateKey | None = None
    ) -> AsyncsshConnection:
        return await self._make_opener(lease_id, endpoint).open_connection(password, own_key)

    async def probe_endpoint(self, lease_id: str, endpoint: Endpoint) -> Reachability:
        from gpurent.infra.ssh.lease_opener import probe_host_key

        return await probe_host_key(endpoint, self._make_opener(lease_id, endpoint).find_pinned_host_key())

    async def pin_host_key(self, lease_id: str, endpoint: Endpoint) -> str:
        return await self._make_opener(lease_id, endpoint).pin_host_key()

    def find_pinned_host_key(self, lease_id: str, endpoint: Endpoint) -> tuple[str, str] | None:
        key = self._make_opener(lease_id, endpoint).find_pinned_host_key()
        if key is None:
            return None
        kind, text = key.export_public_key("openssh").decode().split()[:2]
        return f"{kind} {text}", key.get_fingerprint()

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

    def write_known_hosts_alias(self, lease_id: str, name: str, host_key: str) -> Path:
        path = self._make_lease_files(lease_id).folder / "known_hosts.alias"
        write_private_file(path, f"{name} {host_key}\n".encode())
        return path

    def delete_host_key(self, lease_id: str) -> None:
        LeaseFiles(self.folder / lease_id).delete_host_key()

    def delete_lease_files(self, lease_id: str) -> None:
        shutil.rmtree(self.folder / lease_id, ignore_errors=True)

    def _make_lease_files(self, lease_id: str) -> LeaseFiles:
        return LeaseFiles(make_private_folder(self.folder / lease_id))

    def _make_opener(self, lease_id: str, endpoint: Endpoint) -> LeaseOpener:
        from gpurent.infra.ssh.lease_opener import LeaseOpener

        return LeaseOpener(self._make_lease_files(lease_id), endpoint, self.connect_timeout, self.keepalive)


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
            check_private_mode(path, os.fstat(file.fileno()))
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

"""The user's own private key file, read once to let ourselves in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncssh

from gpurent.domain.secret import Secret
from gpurent.errors import UsageError
from gpurent.locale import _

LARGEST = 64 * 1024


def load_key(path: Path, passphrase: Callable[[], Secret | None]) -> asyncssh.SSHKey:
    """The private key in ``path``; ``passphrase`` is asked when it has one. Anything else is a `UsageError`."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST)
    except OSError as error:
        raise UsageError(_("{path} cannot be read: {why}").format(path=path, why=error.strerror)) from None
    if data.startswith(b"PuTTY-User-Key-File"):
        raise UsageError(
            _("{path} is a PuTTY key").format(path=path),
            hint=_("Convert it first: puttygen {path} -O private-openssh -o key").format(path=path),
        )
    try:
        return asyncssh.import_private_key(data)
    except asyncssh.KeyEncryptionError:
        pass
    except (asyncssh.KeyImportError, ValueError):
        # A key without its passphrase is an import error in some formats.
        pass
    given = passphrase()
    try:
        return asyncssh.import_private_key(data, given.reveal() if given else None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise UsageError(
            _("{path} holds no private key that opens").format(path=path),
            hint=_("A wrong passphrase? It must be the private half: -----BEGIN … PRIVATE KEY-----"),
        ) from None

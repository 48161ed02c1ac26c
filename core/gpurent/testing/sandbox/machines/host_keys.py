"""Host keys: one ed25519 key pair for each disk, made at its first boot, or anew on request."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)


def ensure_host_key(path: Path) -> str:
    """Return the public line of the private key in ``path``, generating the key (0600) if there is none."""
    return _read_public_line(path) if path.exists() else make_host_key(path)


def make_host_key(path: Path) -> str:
    """Write a new private key to ``path`` and return its public line. A file that exists stays the same file."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return _read_public_line(path)


def _read_public_line(path: Path) -> str:
    key = load_ssh_private_key(path.read_bytes(), password=None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

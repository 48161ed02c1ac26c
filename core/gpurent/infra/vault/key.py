"""The key of a vault, from a passphrase (Argon2id) or from a key file, and what is computed with it."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from gpurent.errors import StorageError
from gpurent.infra.platform.system import (
    delete_partial_files,
    make_storage_error,
    read_private_file,
    write_private_file,
)
from gpurent.locale import _

if TYPE_CHECKING:
    from pathlib import Path

    from gpurent.domain.secret import Secret

MEMORY_KIB, ROUNDS, LANES = 64 * 1024, 3, 1
KEY_BYTES = 32


def encode_secret(secret: Secret) -> bytes:
    # A non-UTF-8 environment variable contains surrogates; an encoding error here would carry the secret.
    return secret.reveal().encode("utf-8", "surrogatepass")


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@frozen
class VaultKey:
    """Encrypts records with ChaCha20-Poly1305, and seals the whole file with HMAC-SHA256."""

    key: bytes = field(repr=False)

    def encrypt(self, name: str, data: bytes) -> str:
        nonce = secrets.token_bytes(12)
        return encode_base64(nonce + self._make_cipher().encrypt(nonce, data, name.encode()))

    def decrypt(self, name: str, text: object) -> bytes | None:
        """Return the data of the record ``name``; None if ``text`` was not made from it with this key."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(str(text), validate=True)
            data: bytes = self._make_cipher().decrypt(raw[:12], raw[12:], name.encode())
        except (InvalidTag, ValueError):
            return None
        return data

    def seal(self, content: Mapping[str, Any]) -> str:
        """Return the seal of everything in the file but the seal itself, as 64 hexadecimal digits."""
        rest = {name: value for name, value in content.items() if name != "seal"}
        return self._compute_mac("seal", json.dumps(rest, sort_keys=True).encode())

    @property
    def mark(self) -> str:
        """What tells this key from another one, and does not give it away."""
        return self._compute_mac("mark", b"")

    def _compute_mac(self, purpose: str, data: bytes) -> str:
        import hmac

        own = hmac.digest(self.key, f"gpurent vault {purpose}".encode(), "sha256")
        return hmac.digest(own, data, "sha256").hex()

    def _make_cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        return ChaCha20Poly1305(self.key)


def make_passphrase_header() -> dict[str, Any]:
    """Return the header of a new vault with a passphrase."""
    salt = encode_base64(secrets.token_bytes(16))
    return {"kind": "argon2id", "salt": salt, "memory": MEMORY_KIB, "rounds": ROUNDS, "lanes": LANES}


def derive_passphrase_key(header: Mapping[str, Any], passphrase: Secret) -> VaultKey | None:
    """Return the key; None if the header is not one that `make_passphrase_header` makes."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        argon2 = Argon2id(
            salt=base64.b64decode(header["salt"]),
            length=KEY_BYTES,
            iterations=ROUNDS,
            lanes=LANES,
            memory_cost=MEMORY_KIB,
        )
    except ValueError:
        return None
    return VaultKey(argon2.derive(encode_secret(passphrase)))


def is_usual_header(header: Mapping[str, Any]) -> bool:
    """Return whether a header has our parameters: weaker ones are an attack, stronger ones could exhaust the memory."""
    stored = (header.get("memory"), header.get("rounds"), header.get("lanes"))
    return stored == (MEMORY_KIB, ROUNDS, LANES) and isinstance(header.get("salt"), str)


def read_key_file(path: Path, hint: str) -> VaultKey:
    """Return the key in a key file; raises `StorageError` with ``hint`` if it is missing or damaged."""
    try:
        key = read_private_file(path)
    except FileNotFoundError:
        text = _("{key_path} is missing; without it the vault cannot be read")
        raise StorageError(text.format(key_path=path), hint=hint) from None
    except OSError as error:
        raise make_storage_error(path, error) from error
    if len(key) != KEY_BYTES:
        raise StorageError(_("{key_path} is damaged").format(key_path=path), hint=hint)
    return VaultKey(key)


def write_key_file(path: Path) -> None:
    try:
        delete_partial_files(path)
        write_private_file(path, secrets.token_bytes(KEY_BYTES))
    except OSError as error:
        raise make_storage_error(path, error) from error

"""The encrypted form of a backup: ChaCha20-Poly1305 in chunks, with a key from a passphrase (Argon2id).

A line that says what it is, a line of JSON with the key's parameters, then chunks, each bound to its number, to the
header, and to whether it is the last one: a change, a cut, an exchange of chunks or of the header is noticed. The salt
is new in each file, and with it the key, so that the numbers of the chunks may be the nonces.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import IO, Any

from attrs import frozen

from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, StorageError, UsageError
from gpurent.infra.vault.key import VaultKey, derive_passphrase_key, is_usual_header, make_passphrase_header
from gpurent.locale import _

MAGIC = b"gpurent backup\n"
FORMAT_VERSION = 1
CHUNK_BYTES = 1 << 16
TAG_BYTES = 16
MAX_HEADER_BYTES = 4096
_CHECK = "backup"


@frozen
class BackupHeader:
    """What can be read of a backup without its passphrase. ``line``: as it is in the file.

    ``is_of_vault``: the passphrase is the vault's own; otherwise one that was chosen for this file.
    """

    line: bytes
    kdf: Mapping[str, Any]
    check: str
    is_of_vault: bool

    def open(self, name: str, passphrase: Secret) -> VaultKey:
        """Return the key of the file called ``name``; raises `AuthError` if the passphrase is wrong."""
        key = derive_passphrase_key(self.kdf, passphrase)
        if key is None:
            raise make_damage_error(name)
        if key.decrypt(_CHECK, self.check) is None:
            raise AuthError(
                _("the passphrase is wrong, or {name} was tampered with").format(name=name),
                hint=_("Nothing was changed."),
            )
        return key


def make_header(passphrase: Secret, *, is_of_vault: bool) -> tuple[BackupHeader, VaultKey]:
    """Return the header of a new file, and its key; deriving the key takes half a second."""
    kdf = make_passphrase_header()
    key = derive_passphrase_key(kdf, passphrase)
    if key is None:
        raise LookupError("a new header is always one of ours")
    check = key.encrypt(_CHECK, b"gpurent")
    content = {"format": FORMAT_VERSION, "kdf": kdf, "check": check, "is_of_vault": is_of_vault}
    line = json.dumps(content, sort_keys=True).encode() + b"\n"
    return BackupHeader(line, kdf, check, is_of_vault), key


def read_header(file: IO[bytes], name: str) -> BackupHeader:
    """Read the header of the file called ``name``; raises `UsageError` for another program's or another version's."""
    if file.read(len(MAGIC)) != MAGIC:
        raise UsageError(
            _("{name} is not a backup of gpurent").format(name=name), hint=_("Nothing was changed.")
        )
    line = file.readline(MAX_HEADER_BYTES)
    try:
        found = json.loads(line)
        version = int(found["format"])
        if version > FORMAT_VERSION:
            raise UsageError(
                _(
                    "{name} was written by a newer gpurent (format {version}, this one reads up to {known})"
                ).format(name=name, version=version, known=FORMAT_VERSION),
                hint=_("Nothing was changed. Upgrade gpurent."),
            )
        if version < 1 or not line.endswith(b"\n") or not is_usual_header(found["kdf"]):
            raise make_damage_error(name)
        return BackupHeader(line, found["kdf"], str(found["check"]), found["is_of_vault"] is True)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise make_damage_error(name) from None


def encrypt_chunks(header: BackupHeader, key: VaultKey, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what the file consists of, for a content that comes in ``parts`` of any size."""
    yield MAGIC + header.line
    cipher = _Cipher.make(header, key)
    held, number = b"", 0
    for part in parts:
        held += part
        while len(held) > CHUNK_BYTES:  # the last one is known only at the end
            yield cipher.encrypt(number, held[:CHUNK_BYTES], is_last=False)
            held, number = held[CHUNK_BYTES:], number + 1
    yield cipher.encrypt(number, held, is_last=True)


def decrypt_chunks(file: IO[bytes], name: str, header: BackupHeader, key: VaultKey) -> Iterator[bytes]:
    """Yield the content after the header; raises `StorageError` as soon as a chunk is not as it was written."""
    cipher = _Cipher.make(header, key)
    size = CHUNK_BYTES + TAG_BYTES
    chunk, number = file.read(size), 0
    while True:
        following = file.read(size)
        data = cipher.decrypt(number, chunk, is_last=not following)
        if data is None:
            raise make_damage_error(name)
        yield data
        if not following:
            return
        chunk, number = following, number + 1


@frozen
class _Cipher:
    aead: Any
    bound: bytes

    @classmethod
    def make(cls, header: BackupHeader, key: VaultKey) -> _Cipher:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        own = hmac.digest(key.key, b"gpurent backup content", "sha256")
        return cls(ChaCha20Poly1305(own), sha256(MAGIC + header.line).digest())

    def encrypt(self, number: int, data: bytes, *, is_last: bool) -> bytes:
        made: bytes = self.aead.encrypt(_make_nonce(number, is_last), data, self.bound)
        return made

    def decrypt(self, number: int, chunk: bytes, *, is_last: bool) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            data: bytes = self.aead.decrypt(_make_nonce(number, is_last), chunk, self.bound)
        except (InvalidTag, ValueError):
            return None
        return data


def _make_nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def make_damage_error(name: str) -> StorageError:
    return StorageError(
        _("{name} is damaged or incomplete").format(name=name),
        hint=_("Nothing was changed. Use another copy of it, or another backup."),
    )

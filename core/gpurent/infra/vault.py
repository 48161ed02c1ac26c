"""The encrypted file of secrets: ChaCha20-Poly1305, with a key from a passphrase (Argon2id) or from a key file.

With a key file, a copied vault cannot be read without that file, but anyone who can read this user's files can read
the secrets. A passphrase prevents that too.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, StorageError
from gpurent.infra.platform.posix.system import (
    delete_partial_files,
    make_storage_error,
    read_private_file,
    write_private_file,
)
from gpurent.locale import _

FORMAT_VERSION = 1
MEMORY_KIB, ROUNDS, LANES = 64 * 1024, 3, 1
KEY_BYTES = 32
CHECK_RECORD = "check"

AskPassphrase = Callable[[bool], Secret | None]


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _encode_secret(secret: Secret) -> bytes:
    # A non-UTF-8 environment variable contains surrogates; an encoding error here would carry the secret.
    return secret.reveal().encode("utf-8", "surrogatepass")


class FileVault:
    """``folder`` holds ``vault.json`` and, without a passphrase, ``vault.key``; both with mode 0600.

    ``ask_passphrase(creating)`` returns the passphrase, or None when the user wants none. ``creating``: the
    vault is new.
    """

    def __init__(self, folder: Path, ask_passphrase: AskPassphrase) -> None:
        self._path = folder / "vault.json"
        self._key_path = folder / "vault.key"
        self._lock_path = folder / "vault.lock"
        self._ask = ask_passphrase
        self._key: bytes | None = None

    def get_vault(self, prefix: str) -> ScopedVault:
        return ScopedVault(self, prefix)

    # the file

    @contextmanager
    def _hold_lock(self) -> Iterator[None]:
        try:
            handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise make_storage_error(self._lock_path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read_file(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(read_private_file(self._path))
            version, shape = found["version"], (found["check"], found["kdf"]["kind"], found["records"].keys())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise make_storage_error(self._path, error) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise self._damaged_error() from None
        if version != FORMAT_VERSION or shape[1] not in ("file", "argon2id"):
            text = _("{path} was written by another version of gpurent")
            raise StorageError(text.format(path=self._path), hint=_("Nothing was changed. Upgrade gpurent."))
        return found

    def _damaged_error(self) -> StorageError:
        return StorageError(_("{path} is damaged").format(path=self._path), hint=self._suggest_restore())

    def _suggest_restore(self) -> str:
        return _(
            "Nothing was changed. Restore it from a backup. Without one, move {path} away and log in again; "
            "the key of a wallet in it is lost then."
        ).format(path=self._path)

    def _write_file(self, content: dict[str, Any]) -> None:
        try:
            delete_partial_files(self._path)
            write_private_file(self._path, json.dumps(content, indent=1).encode())
        except OSError as error:
            raise make_storage_error(self._path, error) from error

    # the key

    def _unlock_content(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return the file's content after checking the key; a new vault is created here."""
        if not content:
            return self._create_vault()
        # Checked every time: the vault may have been re-created since the key was derived.
        if self._key is None or self._decrypt(CHECK_RECORD, content["check"]) is None:
            self._key = self._derive_key(content["kdf"], creating=False)
            if self._decrypt(CHECK_RECORD, content["check"]) is None:
                self._key = None
                raise self._wrong_key_error(content["kdf"]["kind"])
        return content

    def _wrong_key_error(self, kind: str) -> GpurentError:
        if kind == "file":
            return StorageError(
                _("{key_path} is not the key for {path}, or one of them was tampered with").format(
                    key_path=self._key_path, path=self._path
                ),
                hint=self._suggest_restore(),
            )
        return AuthError(
            _("the passphrase is wrong, or the vault was tampered with"),
            hint=_(
                "Nothing was changed. Check GPURENT_PASSPHRASE, or enter the passphrase that you "
                "chose at first use."
            ),
        )

    def _create_vault(self) -> dict[str, Any]:
        kdf: dict[str, Any] = {"kind": "argon2id", "salt": _encode_base64(secrets.token_bytes(16))}
        kdf |= {"memory": MEMORY_KIB, "rounds": ROUNDS, "lanes": LANES}
        passphrase = self._ask(True)
        if passphrase is None:
            kdf = {"kind": "file"}
            if not self._key_path.exists():
                self._write_key_file()
        self._key = self._derive_key(kdf, creating=True, passphrase=passphrase)
        content = {
            "version": FORMAT_VERSION,
            "kdf": kdf,
            "check": self._encrypt(CHECK_RECORD, b"gpurent"),
            "records": {},
        }
        self._write_file(content)
        return content

    def _write_key_file(self) -> None:
        try:
            delete_partial_files(self._key_path)
            write_private_file(self._key_path, secrets.token_bytes(KEY_BYTES))
        except OSError as error:
            raise make_storage_error(self._key_path, error) from error

    def _derive_key(self, kdf: dict[str, Any], *, creating: bool, passphrase: Secret | None = None) -> bytes:
        if kdf["kind"] == "file":
            return self._read_key_file()
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        stored_parameters = (kdf.get("memory"), kdf.get("rounds"), kdf.get("lanes"))
        if stored_parameters != (MEMORY_KIB, ROUNDS, LANES) or not isinstance(kdf.get("salt"), str):
            # Weaker parameters in the header are an attack; stronger ones could exhaust the memory.
            raise self._damaged_error()
        given = passphrase or self._ask(creating)
        if given is None:
            raise AuthError(
                _("the vault needs its passphrase"),
                hint=_("Set GPURENT_PASSPHRASE, or run the command in a terminal."),
            )
        try:
            argon2 = Argon2id(
                salt=base64.b64decode(kdf["salt"]),
                length=KEY_BYTES,
                iterations=ROUNDS,
                lanes=LANES,
                memory_cost=MEMORY_KIB,
            )
        except ValueError:
            raise self._damaged_error() from None
        return argon2.derive(_encode_secret(given))

    def _read_key_file(self) -> bytes:
        try:
            key = read_private_file(self._key_path)
        except FileNotFoundError:
            raise StorageError(
                _("{key_path} is missing; without it the vault cannot be read").format(
                    key_path=self._key_path
                ),
                hint=self._suggest_restore(),
            ) from None
        except OSError as error:
            raise make_storage_error(self._key_path, error) from error
        if len(key) != KEY_BYTES:
            raise StorageError(
                _("{key_path} is damaged").format(key_path=self._key_path), hint=self._suggest_restore()
            )
        return key

    def _make_cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        return ChaCha20Poly1305(self._key or b"")

    def _encrypt(self, name: str, data: bytes) -> str:
        nonce = secrets.token_bytes(12)
        return _encode_base64(nonce + self._make_cipher().encrypt(nonce, data, name.encode()))

    def _decrypt(self, name: str, text: str) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(str(text), validate=True)
            data: bytes = self._make_cipher().decrypt(raw[:12], raw[12:], name.encode())
        except (InvalidTag, ValueError):
            return None
        return data

    # records

    @property
    def exists(self) -> bool:
        return self._path.exists()

    @property
    def is_locked(self) -> bool:
        """Whether a passphrase is needed before anything can be read."""
        content = self._read_file()
        return bool(content) and self._key is None and content["kdf"]["kind"] == "argon2id"

    def unlock(self) -> None:
        """Check the passphrase now; raises `AuthError` if it is wrong. A missing vault needs none."""
        content = self._read_file()
        if content:
            self._unlock_content(content)

    def get(self, name: str) -> Secret | None:
        content = self._read_file()
        if name not in content.get("records", {}):
            return None
        content = self._unlock_content(content)
        data = self._decrypt(name, content["records"][name])
        if data is None:
            raise StorageError(
                _("the record {name!r} in {path} is damaged or was tampered with").format(
                    name=name, path=self._path
                ),
                hint=self._suggest_restore(),
            )
        return Secret(data.decode("utf-8", "surrogatepass"))

    def put(self, name: str, secret: Secret) -> None:
        found = self._read_file()
        if found:
            # This may prompt the user; other processes must not wait for the lock meanwhile.
            self._unlock_content(found)
        with self._hold_lock():
            content = self._unlock_content(self._read_file())
            content["records"][name] = self._encrypt(name, _encode_secret(secret))
            self._write_file(content)

    def delete(self, name: str) -> None:
        with self._hold_lock():
            content = self._read_file()
            if content.get("records", {}).pop(name, None) is not None:
                self._write_file(content)


@frozen
class ScopedVault:
    """Implements `gpurent.ports.services.Vault` for one plugin."""

    vault: FileVault
    prefix: str

    def get(self, name: str) -> Secret | None:
        return self.vault.get(f"{self.prefix}/{name}")

    def put(self, name: str, secret: Secret) -> None:
        self.vault.put(f"{self.prefix}/{name}", secret)

    def delete(self, name: str) -> None:
        self.vault.delete(f"{self.prefix}/{name}")

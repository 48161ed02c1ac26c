"""The encrypted file of secrets: ChaCha20-Poly1305, with a key from a passphrase (Argon2id) or from a key file.

With a key file, a copied vault cannot be read without that file, but anyone who can read this user's files can read
the secrets. A passphrase prevents that too. The whole file is sealed with the key and counts its writes, and which one
was used last is recorded outside of its folder: a changed file, an old one or another one is noticed, unless whoever
put it there can write those records too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, InputRequired, StorageError, UsageError
from gpurent.infra.vault.container import FORMAT_VERSION, KEY_FILE_KIND, PASSPHRASE_KIND, VaultContainer
from gpurent.infra.vault.key import (
    VaultKey,
    derive_passphrase_key,
    encode_secret,
    is_usual_header,
    make_passphrase_header,
    read_key_file,
    write_key_file,
)
from gpurent.infra.vault.replaced import LastUsedVault, VaultChange, find_change, make_mark
from gpurent.locale import _
from gpurent.ports.outside_records import OutsideRecords

CHECK_RECORD = "check"
MIN_PASSPHRASE_LENGTH = 12


def suggest_accept() -> str:
    return _(
        "Nothing was read from it. Unless you restored a backup or replaced it yourself, somebody who can write your "
        "files put it there. To use it: gpurent vault accept"
    )


AskPassphrase = Callable[[bool], Secret | None]


def opens(key: VaultKey, content: Mapping[str, Any]) -> bool:
    """Return whether ``key`` is the one of the vault with this content."""
    return key.decrypt(CHECK_RECORD, content["check"]) is not None


class FileVault:
    """``folder`` holds ``vault.json`` and, without a passphrase, ``vault.key``; both with mode 0600.

    ``ask_passphrase(creating)`` returns the passphrase, or None when the user wants none. ``creating``: the
    vault is new.
    """

    def __init__(self, folder: Path, ask_passphrase: AskPassphrase, records: OutsideRecords) -> None:
        self._container = VaultContainer(folder)
        self._key_path = folder / "vault.key"
        self._ask = ask_passphrase
        self._last = LastUsedVault(records)
        self._key: VaultKey | None = None

    @property
    def path(self) -> Path:
        return self._container.path

    # the key

    def _open_key(self, content: dict[str, Any]) -> VaultKey:
        """Return the key of the file, checked every time: the vault may have been re-created since it was derived."""
        if self._key is None or not opens(self._key, content):
            self._key = None
            key = self._derive_key(content["kdf"])
            if not opens(key, content):
                raise self._make_key_error(content["kdf"]["kind"])
            self._key = key
        return self._key

    def _derive_key(self, header: dict[str, Any], passphrase: Secret | None = None) -> VaultKey:
        if header["kind"] == KEY_FILE_KIND:
            return read_key_file(self._key_path, self._container.suggest_restore())
        if not is_usual_header(header):
            raise self._container.make_damage_error()
        passphrase = passphrase or self._ask(False)
        if passphrase is None:
            raise AuthError(
                _("the vault needs its passphrase"),
                hint=_("Set GPURENT_PASSPHRASE, or run the command in a terminal."),
            )
        key = derive_passphrase_key(header, passphrase)
        if key is None:
            raise self._container.make_damage_error()
        return key

    def _make_key_error(self, kind: str) -> GpurentError:
        if kind == KEY_FILE_KIND:
            return StorageError(
                _("{key_path} is not the key for {path}, or one of them was tampered with").format(
                    key_path=self._key_path, path=self.path
                ),
                hint=self._container.suggest_restore(),
            )
        return AuthError(
            _("the passphrase is wrong, or the vault was tampered with"),
            hint=_(
                "Nothing was changed. Check GPURENT_PASSPHRASE, or enter the passphrase that you "
                "chose at first use."
            ),
        )

    # the one that was used last

    def find_change(self) -> VaultChange | None:
        """Return how the vault differs from the one used last, as far as that is known without a passphrase."""
        content = self._container.read()
        if not content or self._find_change(content) is None:
            return None
        with self._container.hold_lock():  # a writer may have been between the file and its record
            content = self._container.read()
            return self._find_change(content) if content else None

    def _find_change(self, content: dict[str, Any]) -> VaultChange | None:
        marks, key = self._last.list_marks(), self._find_key(content)
        now = make_mark(content, key.mark if key is not None else "")
        change = find_change(now, marks, lambda: self._ask(False) is not None)
        if change is VaultChange.OTHER and key is not None and not opens(key, content):
            # Not another vault, but the wrong key file, which is reported when it is used.
            change = find_change(make_mark(content), marks, lambda: False)
        return change

    def _find_key(self, content: dict[str, Any]) -> VaultKey | None:
        """Return the key if it is known without asking for it."""
        if content["kdf"]["kind"] == KEY_FILE_KIND:
            with suppress(GpurentError):  # a key file that cannot be read is reported when it is used
                return read_key_file(self._key_path, "")
        return self._key if self._key is not None and opens(self._key, content) else None

    def accept(self) -> None:
        """Take the vault as it is, or that there is none, as the one used last; an older one is refused from then on.

        Raises `AuthError` if its passphrase is missing or wrong.
        """
        content = self._container.read()
        if not content:
            self._last.replace(None)
            return
        self._open_key(content)
        with self._container.hold_lock():
            content = self._container.read()
            self._open_key(content)
            self._write(content, revision=max(make_mark(content).revision, self._last.revision) + 1)

    # the content

    def _open(self, content: dict[str, Any], *, is_locked: bool = False) -> VaultKey:
        """Return the key of the vault after all checks: it is the one used last, and nothing in it was changed.

        ``is_locked``: this process holds the lock.
        """
        self._check_same(content, is_locked)
        key = self._open_key(content)
        self._check_same(content, is_locked)  # now also by the key
        if content["version"] == FORMAT_VERSION and key.seal(content) != content["seal"]:
            raise self._make_seal_error(content, key)
        self._last.record(make_mark(content, key.mark))
        return key

    def _make_seal_error(self, content: dict[str, Any], key: VaultKey) -> StorageError:
        hint = _(
            "Nothing was changed. Restore it from a backup. Without one, to use the rest all the same: "
            "gpurent vault accept"
        )
        for name, text in content["records"].items():
            if key.decrypt(name, text) is None:
                return self._make_record_error(name, hint)
        return StorageError(
            _("{path} was changed by something else than gpurent").format(path=self.path), hint=hint
        )

    def _make_record_error(self, name: str, hint: str) -> StorageError:
        text = _("the record {name!r} in {path} is damaged or was tampered with")
        return StorageError(text.format(name=name, path=self.path), hint=hint)

    def _check_same(self, content: dict[str, Any], is_locked: bool) -> None:
        """Raise `InputRequired` if the vault is not the one that was used last."""
        change = self._find_change(content)
        if change is not None and not is_locked:
            change = self.find_change()
        if change is not None:
            raise InputRequired(change.title, hint=suggest_accept(), retryable=True)

    def _write(self, content: dict[str, Any], *, revision: int = 0) -> None:
        """Seal and write the content as the next revision, or as ``revision``, and record it; the lock is held."""
        if self._key is None:
            raise LookupError("a vault is written only with its key")
        content |= {"version": FORMAT_VERSION, "revision": revision or make_mark(content).revision + 1}
        content["seal"] = self._key.seal(content)
        self._container.write(content)
        self._last.replace(make_mark(content, self._key.mark))

    def _create(self) -> dict[str, Any]:
        passphrase = self._ask(True)
        if passphrase is not None and len(passphrase.reveal()) < MIN_PASSPHRASE_LENGTH:
            raise UsageError(
                _("the passphrase of a new vault must have at least {count} characters").format(
                    count=MIN_PASSPHRASE_LENGTH
                ),
                hint=_("Several random words are easy to remember and hard to guess."),
            )
        if passphrase is None and self._last.had_passphrase:
            raise InputRequired(
                _(
                    "the vault that was used here had a passphrase; it is missing, and a new one would have none"
                ),
                hint=_(
                    "Set GPURENT_PASSPHRASE for the new one. For one without a passphrase: gpurent vault accept"
                ),
            )
        header = make_passphrase_header() if passphrase is not None else {"kind": KEY_FILE_KIND}
        if passphrase is None and not self._key_path.exists():
            write_key_file(self._key_path)
        self._key = self._derive_key(header, passphrase)
        content = {"kdf": header, "check": self._key.encrypt(CHECK_RECORD, b"gpurent"), "records": {}}
        # Above what is recorded: the old vault is an older one from now on.
        self._write(content, revision=self._last.revision + 1)
        return content

    # records

    @property
    def exists(self) -> bool:
        return self.path.exists()

    @property
    def has_passphrase(self) -> bool:
        content = self._container.read()
        return bool(content) and content["kdf"]["kind"] == PASSPHRASE_KIND

    @property
    def is_locked(self) -> bool:
        """Whether a passphrase is needed before anything can be read."""
        return self._key is None and self.has_passphrase

    def unlock(self) -> None:
        """Check the passphrase now; raises `AuthError` if it is wrong. A missing vault needs none."""
        content = self._container.read()
        if content:
            self._open_key(content)

    def list_names(self) -> list[str]:
        """Return the names of all records, which are not encrypted."""
        return sorted(self._container.read().get("records", {}))

    def get(self, name: str) -> Secret | None:
        content = self._container.read()
        if name not in content.get("records", {}):
            return None
        key = self._open(content)
        data = key.decrypt(name, content["records"][name])
        if data is None:
            raise self._make_record_error(name, self._container.suggest_restore())
        return Secret(data.decode("utf-8", "surrogatepass"))

    def put(self, name: str, secret: Secret) -> None:
        found = self._container.read()
        if found:
            # This may prompt the user; other processes must not wait for the lock meanwhile.
            self._open(found)
        with self._container.hold_lock():
            content = self._container.read() or self._create()
            key = self._open(content, is_locked=True)
            content["records"][name] = key.encrypt(name, encode_secret(secret))
            self._write(content)

    def delete(self, name: str) -> None:
        found = self._container.read()
        if name not in found.get("records", {}):
            return
        self._open(found)
        with self._container.hold_lock():
            content = self._container.read()
            if name in content.get("records", {}):
                self._open(content, is_locked=True)
                del content["records"][name]
                self._write(content)

"""The file of the vault: read and written as a whole, by one process at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gpurent.errors import StorageError
from gpurent.infra.platform.file_locks import hold_file_lock
from gpurent.infra.platform.system import (
    delete_partial_files,
    make_storage_error,
    read_private_file,
    write_private_file,
)
from gpurent.locale import _

FORMAT_VERSION = 2
# Version 1 had neither a revision nor a seal; it becomes version 2 when it is written next.
_KNOWN_VERSIONS = (1, FORMAT_VERSION)
KEY_FILE_KIND, PASSPHRASE_KIND = "file", "argon2id"


class VaultContainer:
    """``vault.json`` in ``folder``, with mode 0600, and the lock of its writers."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vault.json"
        self._lock_path = folder / "vault.lock"

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                held.enter_context(hold_file_lock(self._lock_path))
            except OSError as error:
                raise make_storage_error(self._lock_path, error) from error
            yield

    def read(self) -> dict[str, Any]:
        """Return the content, empty if there is no file; raises `StorageError` if it is damaged."""
        try:
            found: dict[str, Any] = json.loads(read_private_file(self.path))
            version, kind = found["version"], found["kdf"]["kind"]
            _shape = (found["check"], found["records"].keys())
            if version == FORMAT_VERSION:
                _shape = (found["revision"] + 1, found["seal"] + "")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise make_storage_error(self.path, error) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise self.make_damage_error() from None
        if version not in _KNOWN_VERSIONS or kind not in (KEY_FILE_KIND, PASSPHRASE_KIND):
            text = _("{path} was written by another version of gpurent")
            raise StorageError(text.format(path=self.path), hint=_("Nothing was changed. Upgrade gpurent."))
        return found

    def write(self, content: dict[str, Any]) -> None:
        try:
            delete_partial_files(self.path)
            write_private_file(self.path, json.dumps(content, indent=1).encode())
        except OSError as error:
            raise make_storage_error(self.path, error) from error

    def make_damage_error(self) -> StorageError:
        return StorageError(_("{path} is damaged").format(path=self.path), hint=self.suggest_restore())

    def suggest_restore(self) -> str:
        return _(
            "Nothing was changed. Restore it from a backup. Without one, move {path} away and log in again; "
            "the key of a wallet in it is lost then."
        ).format(path=self.path)

"""Locks between processes that the operating system releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from attrs import frozen

from gpurent.errors import StorageError
from gpurent.infra.platform.posix.system import make_private_folder, make_storage_error


@frozen
class FileLock:
    """A lock that is held. ``handle`` None: the file could not be made, so that nothing is locked."""

    handle: int | None

    def release(self) -> None:
        if self.handle is not None:
            os.close(self.handle)


@frozen(eq=False)
class FileLocks:
    """Locks in files in ``folder``. ``is_required`` false: where the file cannot be made, nothing is locked."""

    folder: Path
    is_required: bool = True

    def take(self, name: str) -> FileLock | None:
        """Return the lock ``name``; None if it is held, even by the same process."""
        try:
            handle = self._open_file(f"{name}.lock")
        except StorageError:
            if self.is_required:
                raise
            return FileLock(None)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        return FileLock(handle)

    def _open_file(self, name: str) -> int:
        """Open the file, which a read-only data folder must have already. Raises `StorageError` if that fails."""
        path = self.folder / name
        try:
            return os.open(make_private_folder(self.folder) / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            try:
                return os.open(path, os.O_RDONLY)
            except OSError:
                raise make_storage_error(path, error) from error

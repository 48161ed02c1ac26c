"""Locks between processes that the operating system releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from gpurent.errors import StorageError
from gpurent.infra.platform.posix import system
from gpurent.infra.platform.storage_errors import make_storage_error

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows


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
            return os.open(system.make_private_folder(self.folder) / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            try:
                return os.open(path, os.O_RDONLY)
            except OSError:
                raise make_storage_error(path, error) from error


@contextmanager
def hold_file_lock(path: Path) -> Iterator[None]:
    """Wait for the lock in the file ``path``, which is created if it is missing. Raises `OSError`."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

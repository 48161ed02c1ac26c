"""Locks between processes that Windows releases when their holder ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from gpurent.errors import StorageError
from gpurent.infra.platform.storage_errors import make_storage_error
from gpurent.infra.platform.windows import api, private_files

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone


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
        path = self.folder / f"{name}.lock"
        try:
            handle = _open_lock_file(path)
        except StorageError:
            if self.is_required:
                raise
            return FileLock(None)
        try:
            if api.lock_file(handle, waits=False):
                return FileLock(handle)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None


def _open_lock_file(path: Path) -> int:
    private_files.make_private_folder(path.parent)
    try:
        return api.open_file(str(path), writes=True, creates=True)
    except OSError as error:
        raise make_storage_error(path, error) from error


@contextmanager
def hold_file_lock(path: Path) -> Iterator[None]:
    """Wait for the lock in the file ``path``, which is created if it is missing. Raises `OSError`."""
    handle = api.open_file(str(path), writes=True, creates=True)
    try:
        api.lock_file(handle, waits=True)
        yield
    finally:
        os.close(handle)

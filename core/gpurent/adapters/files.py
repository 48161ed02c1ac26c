"""Private files: ours alone from the first moment, and whole or not there."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from gpurent.errors import UsageError


def private_folder(path: Path) -> Path:
    """``path`` as a folder of ours with mode 0700, made if missing. Someone else's, or open to others: `UsageError`."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{path} is not a folder")
    if found.st_uid != os.getuid():
        raise UsageError(f"{path} belongs to another user", hint="Choose another folder with GPURENT_HOME.")
    if found.st_mode & 0o077:
        raise UsageError(f"{path} can be read by other users", hint=f"chmod 700 {path}")
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one move, mode 0600 throughout; on the disk when this returns."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make a rename in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_private(path: Path) -> bytes:
    """What ``path`` holds. Readable by others or not ours: `UsageError`. Missing: `FileNotFoundError`."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise UsageError(f"{path} is open to other users", hint=f"chmod 600 {path}")
        return file.read()

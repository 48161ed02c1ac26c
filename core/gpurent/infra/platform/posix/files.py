"""Private files: ours alone from the first moment, and whole or not there."""

from __future__ import annotations

import errno
import glob
import os
import shlex
import stat
from pathlib import Path

from gpurent.errors import UsageError
from gpurent.locale import _


def private_folder(path: Path) -> Path:
    """``path`` as a folder of ours with mode 0700, made if missing. Someone else's, or open to others: `UsageError`."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        what = (
            _("{path} is not a folder")
            if isinstance(error, FileExistsError)
            else _("{path} cannot be made: {why}")
        )
        raise UsageError(
            what.format(path=path, why=error.strerror), hint=_("Choose another folder with GPURENT_HOME.")
        ) from None
    found = path.stat()
    if found.st_uid != os.getuid():
        raise UsageError(
            _("{path} belongs to another user").format(path=path),
            hint=_("Choose another folder with GPURENT_HOME."),
        )
    if found.st_mode & 0o077:
        raise UsageError(
            _("{path} is open to other users").format(path=path), hint=f"chmod 700 {shlex.quote(str(path))}"
        )
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one move, mode 0600 throughout; on the disk when this returns."""
    import secrets  # brings hashlib, which readers do not need

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


def sweep(path: Path) -> None:
    """Remove what writers of ``path`` left behind when they were killed. Only under the writers' own lock."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make a rename in ``path`` survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_private(path: Path) -> bytes:
    """What ``path`` holds. A link, readable by others or not ours: `UsageError`. Missing: `FileNotFoundError`."""
    try:
        # A pipe put in its place must not hang us.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UsageError(_("{path} is a link; a plain file belongs there").format(path=path)) from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(_("{path} is not a plain file").format(path=path))
        if found.st_uid != os.getuid():
            raise UsageError(_("{path} belongs to another user").format(path=path))
        if found.st_mode & 0o077:
            raise UsageError(
                _("{path} is open to other users").format(path=path),
                hint=f"chmod 600 {shlex.quote(str(path))}",
            )
        return file.read()

"""Persistent disks of machines: folders that outlive them."""

import fcntl
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import IO

from attrs import define, field

from gpurent.testing.sandbox.machines.model import DiskInUse


@define(eq=False)
class Disk:
    """One persistent disk, locked while a machine uses it.

    ``home`` is the home folder, ``data`` the machine's ``/data``, ``host_key`` the private host key (PEM), ``opt`` what
    every boot rewrites.
    """

    folder: Path
    _lock: IO[bytes] = field(repr=False)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def opt(self) -> Path:
        return self.folder / "opt"

    @property
    def host_key(self) -> Path:
        return self.folder / "host_key"

    def release(self) -> None:
        """Release the lock, so that another machine can use the disk."""
        self._lock.close()


class DiskStore:
    """All disks below one folder, in one subfolder each, named after their keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open_disk(self, key: str) -> Disk:
        """Return the disk with that key, created if new. Raises ``DiskInUse``."""
        folder = self._folder / _folder_name(key)
        folder.mkdir(mode=0o700, exist_ok=True)
        disk = Disk(folder, _lock_file(folder / "lock", key))
        disk.home.mkdir(mode=0o700, exist_ok=True)
        disk.data.mkdir(mode=0o755, exist_ok=True)
        return disk

    def erase_disk(self, key: str) -> None:
        """Delete the disk; does nothing if there is none. Raises ``DiskInUse``."""
        folder = self._folder / _folder_name(key)
        if folder.exists():
            with _lock_file(folder / "lock", key):
                remove_tree(folder)


def _folder_name(key: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:16]
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:8]}".lstrip("-")


def _lock_file(path: Path, key: str) -> IO[bytes]:
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DiskInUse(f"a machine lives on the disk {key!r}") from None
    return lock


def remove_tree(folder: Path) -> None:
    """Delete a folder, including subfolders that its owner may not enter. Does nothing if it does not exist."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        _make_accessible(folder)
        shutil.rmtree(folder)


def _make_accessible(folder: Path) -> None:
    folder.chmod(0o700)
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o700)

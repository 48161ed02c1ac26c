"""Files below a folder on Linux and macOS: every name is looked up in the open folder above it."""

from __future__ import annotations

import errno
import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from threading import Lock
from types import TracebackType

from gpurent.ports.local_files import Name

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows

_FOLLOWED_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER_FLAGS = _FOLLOWED_FLAGS | os.O_NOFOLLOW
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_OPEN_FOLDERS = 64
_get_name = attrgetter("name")


class PosixFolder:
    """Implements `gpurent.ports.local_files.OpenFolder`. ``users``: callers that have it open, by its tree."""

    __slots__ = ("_lock", "handle", "users")

    def __init__(self, handle: int, lock: Lock) -> None:
        self.handle, self._lock, self.users = handle, lock, 0

    def __enter__(self) -> PosixFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self.users -= 1

    def close(self) -> None:
        """Close the handle; who still has the folder gets errors, not another folder with the same number."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)

    def list_entries(self) -> Sequence[os.DirEntry[str]]:
        with os.scandir(self.handle) as found:
            return sorted(found, key=_get_name)

    def stat_entry(self, base: str | bytes) -> os.stat_result:
        return os.stat(base, dir_fd=self.handle, follow_symlinks=False)

    def find_mode(self, base: str | bytes, mode: int) -> int:
        return mode

    def open_file(self, base: str | bytes) -> int:
        return os.open(base, _READ_FLAGS, dir_fd=self.handle)

    def create_file(self, base: str | bytes, *, must_be_new: bool = False) -> int:
        flags = _WRITE_FLAGS | os.O_EXCL if must_be_new else _WRITE_FLAGS
        return os.open(base, flags, 0o600, dir_fd=self.handle)

    def read_link(self, base: str | bytes) -> bytes:
        return os.readlink(os.fsencode(base), dir_fd=self.handle)

    def make_link(self, base: str | bytes, target: bytes) -> None:
        os.symlink(target, os.fsencode(base), dir_fd=self.handle)

    def delete_file(self, base: str | bytes) -> None:
        os.unlink(base, dir_fd=self.handle)

    def delete_folder(self, base: str | bytes) -> None:
        os.rmdir(base, dir_fd=self.handle)

    def move_entry(self, base: str | bytes, folder: PosixFolder, new_base: str | bytes) -> None:
        os.rename(os.fsencode(base), os.fsencode(new_base), src_dir_fd=self.handle, dst_dir_fd=folder.handle)


class PosixFileTree:
    """Implements `gpurent.ports.local_files.FileTree`; the folders that were used last stay open."""

    def __init__(self, handle: int, path: bytes) -> None:
        self.path = path
        self._lock = Lock()
        self._root = PosixFolder(handle, self._lock)
        self._folders: OrderedDict[Name, PosixFolder] = OrderedDict()

    def open_folder(self, name: Name, *, create: bool = False, mode: int = 0o755) -> PosixFolder:
        with self._lock:
            folder = self._find_folder(name, create, mode)
            folder.users += 1
            if len(self._folders) > _MAX_OPEN_FOLDERS:
                self._close_unused()
        return folder

    def _find_folder(self, name: Name, create: bool, mode: int) -> PosixFolder:
        if not name:
            return self._root
        found = self._folders.get(name)
        if found is None:
            above = self._find_folder(name[:-1], create, mode)
            handle = _open_entry(name[-1], above.handle, create, mode)
            found = self._folders[name] = PosixFolder(handle, self._lock)
        else:
            self._folders.move_to_end(name)
        return found

    def _close_unused(self) -> None:
        extra = len(self._folders) - _MAX_OPEN_FOLDERS
        unused = [name for name, folder in self._folders.items() if not folder.users]
        for name in unused[:extra]:
            self._folders.pop(name).close()

    def measure_free_bytes(self) -> int:
        disk = os.statvfs(self._root.handle)
        return disk.f_bavail * disk.f_frsize

    def read_at(self, file: int, size: int, at: int) -> bytes:
        return os.pread(file, size, at)

    def write_at(self, file: int, data: memoryview, at: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(file, data[done:], at + done)

    def set_status(self, file: int, mode: int, time: int) -> None:
        os.fchmod(file, mode)
        os.utime(file, ns=(time, time))

    def count_stored_bytes(self, status: os.stat_result) -> int:
        return status.st_blocks * 512

    def close(self) -> None:
        with self._lock:
            for folder in (*self._folders.values(), self._root):
                folder.close()
            self._folders.clear()


class PosixFiles:
    """Implements `gpurent.ports.local_files.LocalFiles`."""

    def open_tree(self, root: Path, below: Name = (), *, create: bool = False) -> PosixFileTree:
        if create:
            root.mkdir(parents=True, exist_ok=True)
        path = b"/".join((os.fsencode(root.resolve()).rstrip(b"/"), *map(os.fsencode, below))) or b"/"
        handle = _open_for_lookup(root, None, _FOLLOWED_FLAGS)
        for base in below:
            above = handle
            try:
                handle = _open_entry(base, above, create, 0o755)
            finally:
                os.close(above)
        return PosixFileTree(handle, path)


def _open_entry(base: str | bytes, above: int, create: bool, mode: int) -> int:
    if os.fsencode(base) in (b"", b".", b"..") or b"/" in os.fsencode(base):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), base)
    if create:
        with suppress(FileExistsError):
            os.mkdir(base, mode, dir_fd=above)
    return _open_for_lookup(base, above, _FOLDER_FLAGS)


def _open_for_lookup(path: Path | str | bytes, above: int | None, flags: int) -> int:
    """Open a folder; one whose contents may be used but not listed, if the system can."""
    try:
        return os.open(path, flags, dir_fd=above)
    except PermissionError:
        if not hasattr(os, "O_PATH"):
            raise
        return os.open(path, flags | os.O_PATH, dir_fd=above)

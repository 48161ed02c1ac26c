"""The near side's disk in a pull: all writing goes through open folders, and never through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from threading import Lock

from gpurent.api import TransferError, shown
from gpurent_plugin_turbo.shared import wire

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 64
Name = tuple[bytes, ...]


def told(name: Name) -> str:
    """A name that may be printed."""
    return shown(b"/".join(name).decode("utf-8", "surrogateescape"))


def failed(name: Name, error: OSError) -> TransferError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(
            "the disk of this computer is full", hint="Free some space, then pull again; it goes on."
        )
    return TransferError(f"{told(name)} cannot be written here: {error.strerror}")


class Shelf:
    """Below one open folder. Its methods may be called from several threads."""

    def __init__(self, target: os.PathLike[str]) -> None:
        try:
            os.makedirs(target, exist_ok=True)
            self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise failed((os.fsencode(target),), error) from None
        self._folders: OrderedDict[Name, int] = OrderedDict()
        self._parts = -1
        self._count = 0
        self._lock = Lock()

    def close(self) -> None:
        """The room for partials goes when it is empty."""
        with self._lock:
            for handle in self._folders.values():
                os.close(handle)
            self._folders.clear()
            if self._parts >= 0:
                os.close(self._parts)
                self._parts = -1
            with contextlib.suppress(OSError):
                os.rmdir(wire.PARTS, dir_fd=self._root)
            os.close(self._root)

    def folder(self, name: Name) -> None:
        """Make it; a link or a file in its way is refused."""
        with self._lock:
            self._at(name)

    def _at(self, name: Name) -> int:
        """An open handle of a folder, which stays ours. The lock is held."""
        if not name:
            return self._root
        found = self._folders.get(name)
        if found is not None:
            self._folders.move_to_end(name)
            return found
        above = self._at(name[:-1])
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name[-1], 0o755, dir_fd=above)
            found = os.open(name[-1], _FOLDER, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise TransferError(
                    f"{told(name)} cannot be written here: a link or a file is in the way"
                ) from None
            raise failed(name, error) from None
        self._folders[name] = found
        while len(self._folders) > _KEPT:
            _, oldest = self._folders.popitem(last=False)
            os.close(oldest)
        return found

    def _room(self) -> int:
        if self._parts < 0:
            with contextlib.suppress(FileExistsError):
                os.mkdir(wire.PARTS, 0o700, dir_fd=self._root)
            try:
                self._parts = os.open(wire.PARTS, _FOLDER, dir_fd=self._root)
            except OSError as error:
                raise failed((wire.PARTS,), error) from None
        return self._parts

    def status(self, name: Name) -> os.stat_result | None:
        """Of a file in a folder that was made."""
        with self._lock:
            try:
                return os.stat(name[-1], dir_fd=self._at(name[:-1]), follow_symlinks=False)
            except OSError:
                return None

    def small(self, name: Name, data: memoryview, mode: int, time: int) -> None:
        """A whole file at once."""
        with self._lock:
            self._count += 1
            room, part = self._room(), b"t%d.%d" % (os.getpid(), self._count)
            folder = os.dup(self._at(name[:-1]))
        try:
            handle = os.open(part, _FILE | os.O_EXCL, 0o600, dir_fd=room)
            try:
                _write_at(handle, data, 0)
                os.fchmod(handle, mode | 0o600)
                os.utime(handle, ns=(time, time))
            finally:
                os.close(handle)
            os.rename(part, name[-1], src_dir_fd=room, dst_dir_fd=folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=room)
            raise failed(name, error) from None
        finally:
            os.close(folder)

    def link(self, name: Name, target: bytes) -> bool:
        """A symbolic link in place of a file, a link or nothing; false where a folder has its name."""
        with self._lock:
            self._count += 1
            room, part = self._room(), b"l%d.%d" % (os.getpid(), self._count)
            folder = os.dup(self._at(name[:-1]))
        try:
            here = _lstat(name[-1], folder)
            if here is not None and stat.S_ISDIR(here.st_mode):
                return False
            if (
                here is None
                or not stat.S_ISLNK(here.st_mode)
                or os.readlink(name[-1], dir_fd=folder) != target
            ):
                os.symlink(target, part, dir_fd=room)
                os.rename(part, name[-1], src_dir_fd=room, dst_dir_fd=folder)
            return True
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=room)
            raise failed(name, error) from None
        finally:
            os.close(folder)

    def part(self, name: Name, part: bytes, size: int) -> tuple[int, bool]:
        """The partial of a large file, open, and whether it holds anything: an earlier try's, or the older file's."""
        with self._lock:
            room, folder = self._room(), os.dup(self._at(name[:-1]))
        try:
            try:
                os.stat(part, dir_fd=room, follow_symlinks=False)
                there = True
            except FileNotFoundError:
                there = False
            handle = os.open(part, _FILE, 0o600, dir_fd=room)
            if os.fstat(handle).st_size != size:
                os.ftruncate(handle, size)
            if not there:
                there = _copy(name[-1], folder, handle, size)
            return handle, there
        except OSError as error:
            raise failed(name, error) from None
        finally:
            os.close(folder)

    def begun(self, name: Name, part: bytes) -> tuple[int, int]:
        """The partial of a file that comes from its front: open, and how much of it an earlier try may have brought."""
        with self._lock:
            room = self._room()
        try:
            handle = os.open(part, _FILE, 0o600, dir_fd=room)
        except OSError as error:
            raise failed(name, error) from None
        return handle, os.fstat(handle).st_size

    def resize(self, name: Name, handle: int, size: int) -> None:
        """Cut a partial short, or let it grow by a hole."""
        try:
            os.ftruncate(handle, size)
        except OSError as error:
            raise failed(name, error) from None

    def write(self, name: Name, handle: int, data: memoryview, at: int) -> None:
        try:
            _write_at(handle, data, at)
        except OSError as error:
            raise failed(name, error) from None

    def settle(self, name: Name, part: bytes, handle: int, mode: int, time: int) -> None:
        """The partial is complete: it gets its name."""
        with self._lock:
            room, folder = self._room(), os.dup(self._at(name[:-1]))
        try:
            os.fchmod(handle, mode | 0o600)
            os.utime(handle, ns=(time, time))
            os.rename(part, name[-1], src_dir_fd=room, dst_dir_fd=folder)
            for entry in os.listdir(room):
                if os.fsencode(entry).startswith(part[:20]):
                    os.unlink(entry, dir_fd=room)
        except OSError as error:
            raise failed(name, error) from None
        finally:
            os.close(folder)

    def drop(self, part: bytes) -> None:
        """A partial that is good for nothing."""
        with self._lock, contextlib.suppress(OSError):
            os.unlink(part, dir_fd=self._room())


def _lstat(name: bytes, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _copy(name: bytes, folder: int, handle: int, size: int) -> bool:
    """The older file's bytes into the partial; false when there is none."""
    try:
        old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(old).st_mode) or not os.fstat(old).st_size:
            return False
        at, left = 0, min(size, os.fstat(old).st_size)
        while left and (data := os.pread(old, min(left, 1 << 20), at)):
            _write_at(handle, memoryview(data), at)
            at, left = at + len(data), left - len(data)
        return True
    finally:
        os.close(old)


def _write_at(handle: int, data: memoryview, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], at + done)

"""Where transfer backends write downloads: through open directory handles, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Lock

from gpurent.domain.filenames import escape_name
from gpurent.domain.local_files import KnownFiles
from gpurent.errors import TransferError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.roles.file_places import FilePlaces, RemoteState

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_OPEN_FOLDERS = 64
_READ_SIZE = 1 << 20
_PARTIALS_DIR = b".gpurent-part"
Name = tuple[str | bytes, ...]


class SafeDir:
    """A folder and everything below it. Its methods may be called from several threads.

    A ``name`` is a tuple of path components below the folder, accepted by `LocalNames`. A file is written
    whole (`write_file`), or grows as a *partial* in a separate folder and is then renamed. The first 20 bytes of a
    partial's name identify the file, the rest its version. Errors of the local disk are raised as `TransferError`.

    ``known``: a local file that it does not know is kept, and what arrives goes beside it (`FilePlaces`). Without it,
    everything is replaced.
    """

    def __init__(self, target: Path, known: KnownFiles | None = None) -> None:
        with self.convert_errors((str(target),)):
            target.mkdir(parents=True, exist_ok=True)
            self._root_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._places = FilePlaces(os.fsencode(target.resolve()), known)
        self._folder_fds: OrderedDict[Name, int] = OrderedDict()
        self._partials_fd = -1
        self._temporary_numbers = count(1)
        self._lock = Lock()

    def close(self) -> None:
        """Close all handles; the folder for partials is removed if it is empty."""
        with self._lock:
            for handle in self._folder_fds.values():
                os.close(handle)
            self._folder_fds.clear()
            if self._partials_fd >= 0:
                os.close(self._partials_fd)
                self._partials_fd = -1
            with suppress(OSError):
                os.rmdir(_PARTIALS_DIR, dir_fd=self._root_fd)
            os.close(self._root_fd)

    @contextmanager
    def convert_errors(self, name: Name) -> Iterator[None]:
        """Convert an `OSError` while handling ``name`` to a `TransferError`."""
        try:
            yield
        except OSError as error:
            raise _make_write_error(name, error) from None

    def make_folder(self, name: Name) -> None:
        """Create a folder; raises `TransferError` if a link or a file is in the way."""
        with self._lock:
            self._open_folder(name)

    def _open_folder(self, name: Name) -> int:
        """Return an open handle of a folder, which we keep. The caller holds the lock."""
        if not name:
            return self._root_fd
        found = self._folder_fds.get(name)
        if found is not None:
            self._folder_fds.move_to_end(name)
            return found
        above = self._open_folder(name[:-1])
        try:
            with suppress(FileExistsError):
                os.mkdir(name[-1], 0o755, dir_fd=above)
            found = os.open(name[-1], _FOLDER_FLAGS, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise TransferError(
                    _("{name} cannot be written here: a symbolic link or a file is in the way").format(
                        name=_format_name(name)
                    )
                ) from None
            raise _make_write_error(name, error) from None
        self._folder_fds[name] = found
        while len(self._folder_fds) > _MAX_OPEN_FOLDERS:
            os.close(self._folder_fds.popitem(last=False)[1])
        return found

    def _open_partials(self) -> int:
        """Return an open handle of the folder for partials, which we keep. The caller holds the lock."""
        if self._partials_fd < 0:
            with self.convert_errors((_PARTIALS_DIR,)):
                with suppress(FileExistsError):
                    os.mkdir(_PARTIALS_DIR, 0o700, dir_fd=self._root_fd)
                self._partials_fd = os.open(_PARTIALS_DIR, _FOLDER_FLAGS, dir_fd=self._root_fd)
        return self._partials_fd

    @contextmanager
    def _open_folders(self, name: Name, temporary: bytes = b"") -> Iterator[tuple[int, int]]:
        """Yield handles of the partials' folder and the folder of ``name``; delete ``temporary`` if an error occurs."""
        with self._lock:
            partials, folder = self._open_partials(), os.dup(self._open_folder(name[:-1]))
        try:
            yield partials, folder
        except OSError as error:
            if temporary:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=partials)
            raise _make_write_error(name, error) from None
        finally:
            os.close(folder)

    def has_file(self, name: Name, remote: RemoteState) -> bool:
        """Return whether nothing needs to arrive: the machine's version is here already; creates its folder."""
        with self._lock, suppress(OSError):
            found = self._places.find_file(_to_bytes(name), self._open_folder(name[:-1]), remote)
            if found is None:
                return False
            place, status = found
            if remote.is_same(status):
                self._note_place(name, place, status)
            else:
                self._places.report_kept(_format_name(name), "")
            return True
        return False

    def _note_place(self, name: Name, place: bytes, status: os.stat_result) -> None:
        raw = _to_bytes(name)
        self._places.note_file(raw, place, status)
        if place != raw[-1]:
            self._places.report_kept(_format_name(name), _format_name((*name[:-1], place)))

    def _move_into_place(
        self, name: Name, temporary: bytes, folders: tuple[int, int], handle: int, same: Callable[[int], bool]
    ) -> None:
        """Give the complete file ``temporary`` its final name. Its state is noted before, so that it counts as ours."""
        partials, folder = folders
        place = self._places.choose_place(_to_bytes(name), folder, same)
        self._note_place(name, place, os.fstat(handle))
        os.rename(temporary, place, src_dir_fd=partials, dst_dir_fd=folder)

    def write_file(self, name: Name, data: memoryview, mode: int, time: int) -> None:
        """Write a whole file at once; ``time`` is the mtime in ns. The user can always read and write it."""
        temporary = b"t%d.%d" % (os.getpid(), next(self._temporary_numbers))
        with self._open_folders(name, temporary) as (partials, folder):
            handle = os.open(temporary, _FILE_FLAGS | os.O_EXCL, 0o600, dir_fd=partials)
            try:
                _write_at(handle, data, 0)
                os.fchmod(handle, mode | 0o600)
                os.utime(handle, ns=(time, time))
                self._move_into_place(
                    name, temporary, (partials, folder), handle, lambda old: _holds_data(old, data)
                )
            finally:
                os.close(handle)

    def make_symlink(self, name: Name, target: str | bytes) -> bool:
        """Create a symbolic link, replacing a file or a link; false where something else has that name.

        That is a folder, or what was changed here.
        """
        temporary = b"l%d.%d" % (os.getpid(), next(self._temporary_numbers))
        with self._open_folders(name, temporary) as (partials, folder):
            raw, wanted = _to_bytes(name), os.fsencode(target)
            is_here = self._places.has_link(raw, folder, wanted)
            if not is_here and not self._places.is_free_for_link(raw, folder):
                return False
            self._places.note_link(raw, wanted)
            if not is_here:
                os.symlink(wanted, temporary, dir_fd=partials)
                os.rename(temporary, raw[-1], src_dir_fd=partials, dst_dir_fd=folder)
            return True

    def open_partial(self, name: Name, partial: bytes, size: int) -> tuple[int, bool]:
        """Open the partial of a file of ``size``; also return whether it already holds data.

        The data comes from an earlier attempt, or else is copied from the old file.
        """
        with self._open_folders(name) as (partials, folder):
            handle = os.open(partial, _FILE_FLAGS, 0o600, dir_fd=partials)
            held = os.fstat(handle).st_size
            if held != size:
                os.ftruncate(handle, size)
            return handle, held > 0 or _copy_old_bytes(name[-1], folder, handle, size)

    def open_growing_partial(self, name: Name, partial: bytes) -> tuple[int, int]:
        """Open the partial of a file that arrives from its start; also return the size left by an earlier attempt."""
        with self._lock:
            partials = self._open_partials()
        with self.convert_errors(name):
            handle = os.open(partial, _FILE_FLAGS, 0o600, dir_fd=partials)
        return handle, os.fstat(handle).st_size

    def resize_partial(self, name: Name, handle: int, size: int) -> None:
        """Truncate a partial, or extend it with a hole."""
        with self.convert_errors(name):
            os.ftruncate(handle, size)

    def write_partial(self, name: Name, handle: int, data: memoryview, at: int) -> None:
        with self.convert_errors(name):
            _write_at(handle, data, at)

    def commit_partial(self, name: Name, partial: bytes, handle: int, mode: int, time: int) -> None:
        """Rename a complete partial to its final name; delete the partials of the file's other versions."""
        with self._open_folders(name) as (partials, folder):
            os.fchmod(handle, mode | 0o600)
            os.utime(handle, ns=(time, time))
            self._move_into_place(
                name, partial, (partials, folder), handle, lambda old: _hold_same(old, handle)
            )
            for entry in os.listdir(partials):  # noqa: PTH208 - of an open folder
                if os.fsencode(entry).startswith(partial[:20]):
                    os.unlink(entry, dir_fd=partials)

    def delete_partial(self, partial: bytes) -> None:
        with self._lock, suppress(OSError):
            os.unlink(partial, dir_fd=self._open_partials())


def _to_bytes(name: Name) -> tuple[bytes, ...]:
    return tuple(map(os.fsencode, name))


def _format_name(name: Name) -> str:
    return escape_name(b"/".join(map(os.fsencode, name)).decode("utf-8", "surrogateescape"))


def _make_write_error(name: Name, error: OSError) -> TransferError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(
            _("the disk of this computer is full"),
            hint=_("Free some space, then download again; it continues where it stopped."),
        )
    return TransferError(
        _("{name} cannot be written here: {why}").format(name=_format_name(name), why=describe_error(error))
    )


def _write_at(handle: int, data: memoryview, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], at + done)


def _holds_data(handle: int, data: memoryview) -> bool:
    return os.fstat(handle).st_size == len(data) and os.pread(handle, len(data) + 1, 0) == data


def _hold_same(one: int, other: int) -> bool:
    """Return whether two open files have the same content."""
    if os.fstat(one).st_size != os.fstat(other).st_size:
        return False
    at = 0
    while data := os.pread(one, _READ_SIZE, at):
        if os.pread(other, len(data), at) != data:
            return False
        at += len(data)
    return True


def _copy_old_bytes(name: str | bytes, folder: int, handle: int, size: int) -> bool:
    """Copy the old file's content into the partial; false when there is none."""
    try:
        old = os.open(name, _OLD_FILE_FLAGS, dir_fd=folder)
    except OSError:
        return False
    try:
        status = os.fstat(old)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        at, left = 0, min(size, status.st_size)
        while left and (data := os.pread(old, min(left, 1 << 20), at)):
            _write_at(handle, memoryview(data), at)
            at, left = at + len(data), left - len(data)
        return True
    finally:
        os.close(old)

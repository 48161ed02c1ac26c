"""Where transfer backends write downloads: below one folder, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from threading import Lock

from gpurent.domain.filenames import escape_name
from gpurent.domain.local_files import KnownFiles
from gpurent.domain.transfer import PullRequest, TransferLimits
from gpurent.errors import TransferError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.local_files import LINK_ERRORS, FileTree, LocalFiles, Name, OpenFolder
from gpurent.roles.file_places import FilePlaces, RemoteState
from gpurent.roles.transfer_errors import check_expansion, small_local_disk_error

_READ_SIZE = 1 << 20
_PARTIALS_DIR = b".gpurent-part"
_NO_LINK_ERRORS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def open_safe_dir(files: LocalFiles, request: PullRequest) -> SafeDir:
    """Open the folder into which ``request`` downloads; it is created if it is missing."""
    with _convert_errors((str(request.target), request.folder) if request.folder else (str(request.target),)):
        below = tuple(part for part in request.folder.split("/") if part)
        tree = files.open_tree(request.target, below, create=True)
        return SafeDir(tree, request.known, request.limits)


class SafeDir:
    """A folder and everything below it. Its methods may be called from several threads.

    A ``name`` is a tuple of path components below the folder, accepted by `LocalNames`. A file is written
    whole (`write_file`), or grows as a *partial* in a separate folder and is then renamed. The first 20 bytes of a
    partial's name identify the file, the rest its version. Errors of the local disk are raised as `TransferError`.

    ``known``: a local file that it does not know is kept, and what arrives goes beside it (`FilePlaces`). Without it,
    everything is replaced.

    Before anything is written, a backend calls `reserve_space` for it: sizes come from the machine. What becomes larger
    here than it travelled, it tells to `count_arrival`.
    """

    def __init__(
        self,
        tree: FileTree,
        known: KnownFiles | None = None,
        limits: TransferLimits = TransferLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._tree, self._limits = tree, limits
        self._free_bytes = -1  # before anything was written; unknown if negative
        self._reserved_bytes = self._arrived_bytes = 0
        self._places = FilePlaces(tree.path, known)
        self._partials: OpenFolder | None = None
        self._temporary_numbers = count(1)
        self._lock = Lock()
        self.refuses_links = False

    def close(self) -> None:
        """Close all handles; the folder for partials is removed if it is empty."""
        with self._lock:
            self._partials = None
            with suppress(OSError), self._tree.open_folder(()) as root:
                root.delete_folder(_PARTIALS_DIR)
            self._tree.close()

    def convert_errors(self, name: Name) -> AbstractContextManager[None]:
        """Convert an `OSError` while handling ``name`` to a `TransferError`."""
        return _convert_errors(name)

    def reserve_space(self, size: int) -> None:
        """Count ``size`` bytes that the disk will hold; raises `TransferError` if all of them are more than is free."""
        with self._lock:
            if self._free_bytes < 0:
                with _convert_errors(()):
                    self._free_bytes = self._tree.measure_free_bytes()
            self._reserved_bytes += size
            if self._reserved_bytes > self._free_bytes:
                raise small_local_disk_error(self._free_bytes, self._reserved_bytes)

    def measure_partial(self, partial: bytes) -> int:
        """Return how many bytes of the disk a file's partial has from an earlier attempt."""
        try:
            return self._tree.count_stored_bytes(self._open_partials().stat_entry(partial))
        except OSError:
            return 0

    def count_arrival(self, size: int, travelled: int) -> None:
        """Count ``size`` bytes that files get here, holes included; ``travelled``: all bytes that came so far.

        Raises `ExpandingDownload` if that is more than the limits allow without a question.
        """
        with self._lock:
            self._arrived_bytes += size
            arrived = self._arrived_bytes
        check_expansion(self._limits, arrived, travelled)

    def make_folder(self, name: Name) -> None:
        """Create a folder; raises `TransferError` if a link or a file is in the way."""
        with _convert_errors(name), self._tree.open_folder(name, create=True):
            pass

    def _open_partials(self) -> OpenFolder:
        """Return the folder for partials, which stays open."""
        with self._lock:
            if self._partials is None:
                with _convert_errors((_PARTIALS_DIR,)):
                    self._partials = self._tree.open_folder((_PARTIALS_DIR,), create=True, mode=0o700)
            return self._partials

    @contextmanager
    def _open_folders(self, name: Name, temporary: bytes = b"") -> Iterator[tuple[OpenFolder, OpenFolder]]:
        """Yield the partials' folder and the folder of ``name``; delete ``temporary`` if an error occurs."""
        partials = self._open_partials()
        try:
            with self._tree.open_folder(name[:-1], create=True) as folder:
                yield partials, folder
        except OSError as error:
            if temporary:
                with suppress(OSError):
                    partials.delete_file(temporary)
            raise _make_write_error(name, error) from None

    def has_file(self, name: Name, remote: RemoteState) -> bool:
        """Return whether nothing needs to arrive: the machine's version is here already; creates its folder."""
        try:
            with self._tree.open_folder(name[:-1], create=True) as folder:
                found = self._places.find_file(_to_bytes(name), folder, remote)
        except OSError:
            return False
        if found is None:
            return False
        place, status = found
        if remote.is_same(status):
            self._note_place(name, place, status)
        else:
            self._places.report_kept(_format_name(name), "")
        return True

    def _note_place(self, name: Name, place: bytes, status: os.stat_result) -> None:
        raw = _to_bytes(name)
        self._places.note_file(raw, place, status)
        if place != raw[-1]:
            self._places.report_kept(_format_name(name), _format_name((*name[:-1], place)))

    def _move_into_place(
        self,
        name: Name,
        temporary: bytes,
        folders: tuple[OpenFolder, OpenFolder],
        handle: int,
        same: Callable[[int], bool],
    ) -> None:
        """Give the complete file ``temporary`` its final name. Its state is noted before, so that it counts as ours."""
        partials, folder = folders
        place = self._places.choose_place(_to_bytes(name), folder, same)
        self._note_place(name, place, os.fstat(handle))
        partials.move_entry(temporary, folder, place)

    def write_file(self, name: Name, data: memoryview, mode: int, time: int) -> None:
        """Write a whole file at once; ``time`` is the mtime in ns. The user can always read and write it."""
        temporary = b"t%d.%d" % (os.getpid(), next(self._temporary_numbers))
        with self._open_folders(name, temporary) as (partials, folder):
            handle = partials.create_file(temporary, must_be_new=True)
            try:
                self._tree.write_at(handle, data, 0)
                self._tree.set_status(handle, mode | 0o600, time)
                self._move_into_place(
                    name, temporary, (partials, folder), handle, lambda old: self._holds_data(old, data)
                )
            finally:
                os.close(handle)

    def make_symlink(self, name: Name, target: str | bytes) -> bool:
        """Create a symbolic link, replacing a file or a link; false where something else has that name.

        That is a folder, or what was changed here. Also false where no links can be made (`refuses_links`).
        """
        temporary = b"l%d.%d" % (os.getpid(), next(self._temporary_numbers))
        with self._open_folders(name, temporary) as (partials, folder):
            raw, wanted = _to_bytes(name), os.fsencode(target)
            is_here = self._places.has_link(raw, folder, wanted)
            if not is_here and not self._places.is_free_for_link(raw, folder):
                return False
            self._places.note_link(raw, wanted)
            if not is_here:
                try:
                    partials.make_link(temporary, wanted)
                except OSError as error:
                    if error.errno not in _NO_LINK_ERRORS:
                        raise
                    self.refuses_links = True
                    return False
                partials.move_entry(temporary, folder, raw[-1])
            return True

    def open_partial(self, name: Name, partial: bytes, size: int) -> tuple[int, bool]:
        """Open the partial of a file of ``size``; also return whether it already holds data.

        The data comes from an earlier attempt, or else is copied from the old file.
        """
        with self._open_folders(name) as (partials, folder):
            handle = partials.create_file(partial)
            held = os.fstat(handle).st_size
            if held != size:
                os.ftruncate(handle, size)
            return handle, held > 0 or self._copy_old_bytes(name[-1], folder, handle, size)

    def open_growing_partial(self, name: Name, partial: bytes) -> tuple[int, int]:
        """Open the partial of a file that arrives from its start; also return the size left by an earlier attempt."""
        partials = self._open_partials()
        with _convert_errors(name):
            handle = partials.create_file(partial)
        return handle, os.fstat(handle).st_size

    def resize_partial(self, name: Name, handle: int, size: int) -> None:
        """Truncate a partial, or extend it with a hole."""
        with _convert_errors(name):
            os.ftruncate(handle, size)

    def read_partial(self, name: Name, handle: int, size: int, at: int) -> bytes:
        """Return up to ``size`` bytes of a partial from ``at``; none at its end."""
        with _convert_errors(name):
            return self._tree.read_at(handle, size, at)

    def write_partial(self, name: Name, handle: int, data: memoryview, at: int) -> None:
        with _convert_errors(name):
            self._tree.write_at(handle, data, at)

    def commit_partial(self, name: Name, partial: bytes, handle: int, mode: int, time: int) -> None:
        """Rename a complete partial to its final name; delete the partials of the file's other versions."""
        with self._open_folders(name) as (partials, folder):
            self._tree.set_status(handle, mode | 0o600, time)
            self._move_into_place(
                name, partial, (partials, folder), handle, lambda old: self._hold_same(old, handle)
            )
            for entry in partials.list_entries():
                if os.fsencode(entry.name).startswith(partial[:20]):
                    partials.delete_file(entry.name)

    def delete_partial(self, partial: bytes) -> None:
        with suppress(OSError):
            self._open_partials().delete_file(partial)

    def _holds_data(self, file: int, data: memoryview) -> bool:
        return os.fstat(file).st_size == len(data) and self._tree.read_at(file, len(data) + 1, 0) == data

    def _hold_same(self, one: int, other: int) -> bool:
        """Return whether two open files have the same content."""
        if os.fstat(one).st_size != os.fstat(other).st_size:
            return False
        at = 0
        while data := self._tree.read_at(one, _READ_SIZE, at):
            if self._tree.read_at(other, len(data), at) != data:
                return False
            at += len(data)
        return True

    def _copy_old_bytes(self, base: str | bytes, folder: OpenFolder, file: int, size: int) -> bool:
        """Copy the old file's content into the empty partial, holes as holes; false when there is none."""
        try:
            old = folder.open_file(base)
        except OSError:
            return False
        try:
            status = os.fstat(old)
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                return False
            at, left = 0, min(size, status.st_size)
            while left and (data := self._tree.read_at(old, min(left, _READ_SIZE), at)):
                if data.count(0) != len(data):
                    self._tree.write_at(file, memoryview(data), at)
                at, left = at + len(data), left - len(data)
            return True
        finally:
            os.close(old)


@contextmanager
def _convert_errors(name: Name) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _make_write_error(name, error) from None


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
    if error.errno in LINK_ERRORS:
        return TransferError(
            _("{name} cannot be written here: a symbolic link or a file is in the way").format(
                name=_format_name(name)
            )
        )
    return TransferError(
        _("{name} cannot be written here: {why}").format(name=_format_name(name), why=describe_error(error))
    )

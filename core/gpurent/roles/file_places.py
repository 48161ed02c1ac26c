"""Where an arriving file goes: under its own name, or beside a local file that was changed here."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from itertools import count

from attrs import frozen

from gpurent.domain.local_files import KnownFiles
from gpurent.domain.upload_rules import is_ignore_file
from gpurent.ports.local_files import OpenFolder

BESIDE_SUFFIX = b".from-machine"
_MAX_NAME_BYTES = 255


@frozen
class RemoteState:
    """A file's state on the machine, its mtime in ns; ``is_same`` tells whether a local file has it."""

    size: int
    time: int
    is_same: Callable[[os.stat_result], bool]


class FilePlaces:
    """The places of one folder and everything below it. ``known`` None: everything may be replaced.

    A ``name`` is a tuple of path components; ``folder`` the open folder that has its last one.
    """

    def __init__(self, root: bytes, known: KnownFiles | None) -> None:
        self._root, self._known = root, known
        # Places beside changed files that have been taken, and by what: none is given twice in one download.
        self._taken: dict[bytes, tuple[bytes, ...]] = {}

    def choose_place(
        self, name: tuple[bytes, ...], folder: OpenFolder, has_content: Callable[[int], bool]
    ) -> bytes:
        """Return the file name to use. ``has_content`` tells of an open file whether it is what arrives."""
        for place in _iter_places(name[-1]):
            path = self._get_path(name, place)
            if self._taken.get(path, name) != name:
                continue
            status = _find_status(place, folder)
            is_free = self._is_free(name, place, status, folder) or (
                status is not None
                and stat.S_ISREG(status.st_mode)
                and _check_content(place, folder, has_content)
            )
            if is_free and self._take(place, path, name):
                return place
        raise AssertionError("count does not end")

    def _is_free(
        self, name: tuple[bytes, ...], place: bytes, status: os.stat_result | None, folder: OpenFolder
    ) -> bool:
        """Return whether what arrives may take the place, whatever it is.

        An ignore file never takes its own name: a machine does not decide what later uploads send.
        """
        is_own_name = place == name[-1]
        if is_own_name and is_ignore_file(place):
            return False
        if status is None or (is_own_name and stat.S_ISDIR(status.st_mode)):
            return True  # a folder is not replaced: that fails and is reported
        return self._is_known(self._get_path(name, place), place, status, folder)

    def find_file(
        self, name: tuple[bytes, ...], folder: OpenFolder, remote: RemoteState
    ) -> tuple[bytes, os.stat_result] | None:
        """Return the place where the machine's version already is, and its status; None if it must be downloaded.

        Of a file that was changed here, while the machine has what was transferred before, that is the file itself.
        """
        known = self._known
        for place in _iter_places(name[-1]):
            path = self._get_path(name, place)
            status = _find_status(place, folder)
            is_closed = place == name[-1] and is_ignore_file(place)
            if status is None:
                if is_closed:
                    continue
                return None
            if self._taken.get(path, name) != name:
                continue
            if remote.is_same(status) and self._take(place, path, name):
                return place, status
            if not is_closed and self._is_known(path, place, status, folder):
                return None
            if place == name[-1] and known is not None and known.has_file(path, remote.size, remote.time):
                return place, status
        raise AssertionError("count does not end")

    def has_link(self, name: tuple[bytes, ...], folder: OpenFolder, target: bytes) -> bool:
        status = _find_status(name[-1], folder)
        return status is not None and stat.S_ISLNK(status.st_mode) and folder.read_link(name[-1]) == target

    def is_free_for_link(self, name: tuple[bytes, ...], folder: OpenFolder) -> bool:
        """Return whether a link may take the name: no folder has it, no ignore file, nor what was changed here."""
        status = _find_status(name[-1], folder)
        if status is None:
            return True
        if stat.S_ISDIR(status.st_mode) or is_ignore_file(name[-1]):
            return False
        return self._is_known(self._get_path(name, name[-1]), name[-1], status, folder)

    def note_file(self, name: tuple[bytes, ...], place: bytes, status: os.stat_result) -> None:
        """Note the state that a file of ours has or is about to get."""
        if self._known is not None:
            self._known.add_file(self._get_path(name, place), status.st_size, status.st_mtime_ns)

    def note_link(self, name: tuple[bytes, ...], target: bytes) -> None:
        if self._known is not None:
            self._known.add_link(self._get_path(name, name[-1]), target)

    def report_kept(self, name: str, place: str) -> None:
        if self._known is not None:
            self._known.add_kept(name, place)

    def _get_path(self, name: tuple[bytes, ...], place: bytes) -> bytes:
        return b"/".join((self._root, *name[:-1], place))

    def _is_known(self, path: bytes, place: bytes, status: os.stat_result, folder: OpenFolder) -> bool:
        known = self._known
        if known is None:
            return True
        if stat.S_ISREG(status.st_mode):
            return known.has_file(path, status.st_size, status.st_mtime_ns)
        if stat.S_ISLNK(status.st_mode):
            return known.has_link(path, folder.read_link(place))
        return False

    def _take(self, place: bytes, path: bytes, name: tuple[bytes, ...]) -> bool:
        """Return whether the place is this file's; another thread may just have taken it for another file."""
        return BESIDE_SUFFIX not in place or self._taken.setdefault(path, name) == name


def _find_status(base: bytes, folder: OpenFolder) -> os.stat_result | None:
    """Return the status of what has the name now, not following a link; None if nothing has."""
    try:
        return folder.stat_entry(base)
    except OSError:
        return None


def _iter_places(base: bytes) -> Iterator[bytes]:
    yield base
    for number in count(1):
        suffix = BESIDE_SUFFIX + (b"" if number == 1 else b"-%d" % number)
        room = _MAX_NAME_BYTES - len(suffix)
        yield (base if len(base) <= room else _shorten(base, room)) + suffix


def _shorten(base: bytes, room: int) -> bytes:
    """Cut a name, but not within a character."""
    return base[:room].decode("utf-8", "ignore").encode()


def _check_content(place: bytes, folder: OpenFolder, has_content: Callable[[int], bool]) -> bool:
    try:
        handle = folder.open_file(place)
    except OSError:
        return False
    try:
        return has_content(handle)
    except OSError:
        return False
    finally:
        os.close(handle)

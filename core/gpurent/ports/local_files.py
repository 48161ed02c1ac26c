"""Files of this computer below a folder, reached one folder after the other and never through a link.

A ``name`` is a tuple of path components, a ``base`` one component; each is text as of `os.fsdecode`, or bytes. All
methods raise `OSError`; where a link or a file is in the place of a folder, with ELOOP or ENOTDIR.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

Name = tuple[str | bytes, ...]
LINK_ERRORS = (errno.ELOOP, errno.ENOTDIR)


class FolderEntry(Protocol):
    """One entry of a listing, usable while its folder is open."""

    @property
    def name(self) -> str: ...
    def is_dir(self, *, follow_symlinks: bool) -> bool: ...
    def stat(self, *, follow_symlinks: bool) -> os.stat_result: ...


class OpenFolder(Protocol):
    """One open folder, a context manager. Nothing that a method does follows a link; handles are for `os`."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def list_entries(self) -> Sequence[FolderEntry]:
        """Return the entries, sorted by name."""

    def stat_entry(self, base: str | bytes) -> os.stat_result:
        """Return the status of the entry itself, also of a link."""

    def find_mode(self, base: str | bytes, mode: int) -> int:
        """Return the permissions that the entry gets on a machine; ``mode``: those of its status.

        Where the system has no such permissions, files are 0644 and folders 0755, and programs are found by what they
        begin with, or by what git knows of them.
        """

    def open_file(self, base: str | bytes) -> int:
        """Open a file for reading; what else it may be, the caller finds out, and is not blocked by it."""

    def create_file(self, base: str | bytes, *, must_be_new: bool = False) -> int:
        """Open a file for reading and writing; a new one is accessible to the user alone."""

    def read_link(self, base: str | bytes) -> bytes: ...
    def make_link(self, base: str | bytes, target: bytes) -> None: ...
    def delete_file(self, base: str | bytes) -> None: ...
    def delete_folder(self, base: str | bytes) -> None:
        """Delete an empty folder."""

    def move_entry(self, base: str | bytes, folder: Self, new_base: str | bytes) -> None:
        """Give the entry a name in ``folder``, which is of the same tree; a file or link of that name is replaced."""


class FileTree(Protocol):
    """A folder and everything below it, whatever its path leads to later. Threads may share it.

    ``path``: its real path when it was opened.
    """

    @property
    def path(self) -> bytes: ...
    def open_folder(self, name: Name, *, create: bool = False, mode: int = 0o755) -> OpenFolder:
        """Open a folder below; ``create``: make what is missing of it, with ``mode``."""

    def measure_free_bytes(self) -> int:
        """Return how many bytes the user can still write on the disk of the folder."""

    def read_at(self, file: int, size: int, at: int) -> bytes:
        """Return up to ``size`` bytes of an open file from ``at``; none at its end."""

    def write_at(self, file: int, data: memoryview, at: int) -> None:
        """Write all of ``data`` into an open file from ``at``."""

    def set_status(self, file: int, mode: int, time: int) -> None:
        """Set the mode, where the system has modes, and the mtime (ns) of an open file."""

    def count_stored_bytes(self, status: os.stat_result) -> int:
        """Return how much of the disk a file takes, without its holes if the system tells."""

    def close(self) -> None: ...


class LocalFiles(Protocol):
    """Opens the folders of projects, results and transfers."""

    def open_tree(self, root: Path, below: Name = (), *, create: bool = False) -> FileTree:
        """Open the folder ``below`` ``root``; ``create``: make what is missing.

        The way to ``root`` is the user's own word: links in it, and ``root`` itself, are followed, once.
        """

"""What transfer backends upload: read below the folders of the sources, never through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from gpurent.domain.transfer import PushRequest
from gpurent.ports.local_files import LINK_ERRORS, FileTree, LocalFiles, Name, OpenFolder
from gpurent.roles.transfer_errors import linked_source_error, missing_source_error, unreadable_source_error

MAX_IGNORE_BYTES = 1 << 20


class SourceFile:
    """A file, link or folder at a place below a source; a link is never followed. Methods raise `OSError`."""

    __slots__ = ("_base", "_folder", "_tree")

    def __init__(self, tree: FileTree, folder: Name, base: str | bytes) -> None:
        self._tree, self._folder, self._base = tree, folder, base

    def open_file(self) -> int:
        """Return a handle for reading."""
        with self._tree.open_folder(self._folder) as folder:
            return folder.open_file(self._base)

    def read_status(self) -> os.stat_result:
        with self._tree.open_folder(self._folder) as folder:
            return folder.stat_entry(self._base)

    def read_link(self) -> bytes:
        with self._tree.open_folder(self._folder) as folder:
            return folder.read_link(self._base)


@frozen
class LocalSource:
    """One source of an upload. ``path``: as it was given. ``base``: its name in ``tree``, empty if it is all of it."""

    path: Path
    tree: FileTree
    base: str

    def read_status(self) -> os.stat_result:
        """Return its status; of a link, its own. Raises `OSError`."""
        with self.tree.open_folder(()) as folder:
            return folder.stat_entry(self.base or ".")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and not a link to one."""
        with suppress(OSError):
            return stat.S_ISDIR(self.read_status().st_mode)
        return False

    @property
    def name(self) -> Name:
        """The name of a source that is a folder, for `open_folder` and `get_file`."""
        return (self.base,) if self.base else ()

    def open_folder(self, name: Name) -> OpenFolder:
        """Open a folder; ``name`` begins with that of the source. Raises `OSError`."""
        return self.tree.open_folder(name)

    def get_file(self, folder: Name, base: str | bytes) -> SourceFile:
        """Return a place in a ``folder``, whose name begins with that of the source."""
        return SourceFile(self.tree, folder, base)


class SourceFiles:
    """The sources of one upload. Their folders stay open until `close`."""

    def __init__(self, files: LocalFiles, request: PushRequest) -> None:
        self._files, self._request = files, request
        self._opened: list[LocalSource] = []

    def open_sources(self) -> list[LocalSource]:
        """Open all sources, once; raises `UsageError` for one that is missing or that a link leads to."""
        if not self._opened:
            self._opened = list(self._iter_sources())
        return self._opened

    def _iter_sources(self) -> Iterator[LocalSource]:
        for path in self._request.sources:
            tree = None
            try:
                root, below = _split_source(path, self._request.root)
                tree = self._files.open_tree(root, below[:-1])
                source = LocalSource(path, tree, below[-1] if below else "")
                source.read_status()
            except FileNotFoundError:
                _close(tree)
                raise missing_source_error(path) from None
            except OSError as error:
                _close(tree)
                if self._request.root is not None and error.errno in LINK_ERRORS:
                    raise linked_source_error(path) from None
                raise unreadable_source_error(path, error) from None
            yield source

    def close(self) -> None:
        for source in self._opened:
            source.tree.close()
        self._opened = []


def read_ignore_file(folder: OpenFolder, base: str) -> str | None:
    """Return the text of an ignore file; None if there is none. As in git, a link is none."""
    try:
        with os.fdopen(folder.open_file(base), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            # As git does: some editors write a byte order mark.
            return file.read(MAX_IGNORE_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return None


def _close(tree: FileTree | None) -> None:
    if tree is not None:
        tree.close()


def _split_source(path: Path, root: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that is the user's own word, and the components below it, which no link may stand for."""
    if root is not None:
        return root, path.relative_to(root).parts
    if path.name in ("", ".."):
        return path, ()
    return path.parent, (path.name,)

"""What transfer backends upload: read below the folders of the sources, never through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from gpurent.domain.ignore_patterns import IgnorePatterns
from gpurent.domain.transfer import PushRequest
from gpurent.domain.upload_rules import IGNORE_FILES
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

    def find_mode(self, mode: int) -> int:
        """Return the permissions that it gets on a machine; ``mode``: those of its status. Raises nothing.

        What is no longer there, or is a link by now, keeps ``mode``; reading it is refused then.
        """
        with suppress(OSError), self._tree.open_folder(self._folder) as folder:
            return folder.find_mode(self._base, mode)
        return mode

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
    data = _read_ignore_file(folder, base)
    return None if data is None else data.decode("utf-8", "replace")


def _read_ignore_file(folder: OpenFolder, base: str) -> bytes | None:
    try:
        with os.fdopen(folder.open_file(base), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(MAX_IGNORE_BYTES)
    except OSError:
        return None


@frozen
class IgnoreRules:
    """What the ignore files say on the way from a source down to one of its folders: as in git, the deepest decides.

    ``.git/info/exclude`` of the source counts too, less than any other.
    """

    _source: LocalSource
    _files: tuple[tuple[int, IgnorePatterns], ...] = ()

    def enter_folder(
        self, folder: Name, below: bytes, opened: OpenFolder, names: Collection[str] | None = None
    ) -> IgnoreRules:
        """Return the rules in a folder below the one that these are for.

        ``folder`` as in `LocalSource.open_folder`; ``below`` is its path in the source, with a slash at the end, and
        empty for the source itself. ``names``: what is in the folder, if that is known.
        """
        found = [*self._files]
        if not below and (names is None or ".git" in names):
            with suppress(OSError), self._source.open_folder((*folder, ".git", "info")) as info:
                found += _read_patterns(info, "exclude", 0)
        for name in IGNORE_FILES:
            if names is None or name in names:
                found += _read_patterns(opened, name, len(below))
        return IgnoreRules(self._source, tuple(found)) if len(found) > len(self._files) else self

    def __bool__(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self._files)

    def find_verdict(self, path: bytes, *, is_folder: bool) -> bool | None:
        """Return whether what is at ``path``, below the source, is ignored; None if nothing is said about it."""
        for start, patterns in reversed(self._files):
            verdict = patterns.find_verdict(path[start:] if start else path, is_folder=is_folder)
            if verdict is not None:
                return verdict
        return None


def _read_patterns(folder: OpenFolder, base: str, start: int) -> Iterator[tuple[int, IgnorePatterns]]:
    data = _read_ignore_file(folder, base)
    if data is not None:
        yield start, IgnorePatterns.parse(data)


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

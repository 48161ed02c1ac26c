"""The near side of a push: what there is to carry, chunk by chunk, so that a million files need little memory."""

from __future__ import annotations

import os
import stat

from gpurent_plugin_turbo.near.errors import told, trouble
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, HARD, LINK

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pathspec import GitIgnoreSpec

    from gpurent.api import Push, Skipped

    Rules = tuple[tuple[bytes, GitIgnoreSpec], ...]

# Never carried: version control, our own room, what Python makes anew.
ALWAYS = frozenset({b".git", b".gpurent", b".gpurent-part", b"__pycache__"})
ROOM = b".gpurent-part"
IGNORE_FILES = (b".gitignore", b".gpurentignore")


class Entry:
    """One thing to carry: ``name`` below the remote target, ``path`` here; ``time`` of change in ns."""

    __slots__ = ("kind", "link", "mode", "name", "path", "size", "time")

    def __init__(
        self, kind: int, mode: int, size: int, time: int, name: bytes, link: bytes, path: bytes
    ) -> None:
        self.kind, self.mode, self.size, self.time = kind, mode, size, time
        self.name, self.link, self.path = name, link, path

    @property
    def row(self) -> tuple[int, int, int, int, bytes, bytes]:
        return (self.kind, self.mode, self.size, self.time, self.name, self.link)


class Scan:
    """Walks the sources; links are never followed. Counts as it goes."""

    def __init__(self, cargo: Push) -> None:
        self.cargo = cargo
        self.files = self.size = 0
        self.skipped: list[Skipped] = []
        self.linked = False  # whether there are hard links
        self._inodes: dict[tuple[int, int], bytes] = {}

    def check(self) -> None:
        """A source that is not there is an error before anything moves."""
        for source in self.cargo.sources:
            if not os.path.lexists(source):
                from gpurent.api import UsageError

                raise UsageError(f"{source} does not exist")

    def entries(self) -> Iterator[Entry]:
        """Folders before what is in them; too much is a `TransferError`."""
        for source in self.cargo.sources:
            path = os.fsencode(source)
            if os.path.isdir(path) and not os.path.islink(path):
                content = self.cargo.content and len(self.cargo.sources) == 1
                top = b"" if content else os.path.basename(os.path.realpath(path))
                yield from self._folder(path, top, b"", (), 0)
            else:
                yield from self._take(path, os.path.basename(path), b"", os.lstat(path))

    def _folder(self, path: bytes, name: bytes, inside: bytes, rules: Rules, depth: int) -> Iterator[Entry]:
        if depth > self.cargo.limits.depth:
            raise trouble(f"{told(path)} lies deeper than {self.cargo.limits.depth} folders")
        if name:
            yield Entry(FOLDER, stat.S_IMODE(os.lstat(path).st_mode), 0, 0, name, b"", path)
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise trouble(f"{told(path)} cannot be read: {error.strerror}") from None
        if self.cargo.ignore:
            rules = (*rules, *self.rules(path, inside, {entry.name for entry in entries}))
        start = name + b"/" if name else b""
        for entry in entries:
            here = entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            # Without rules only few names are left out: most files need no closer look.
            if (rules or is_folder or here == ROOM) and self.ignored(here, inside + here, is_folder, rules):
                continue
            if is_folder:
                yield from self._folder(entry.path, start + here, inside + here + b"/", rules, depth + 1)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                self._count(status.st_size)
                mode, size, time = status.st_mode & 0o7777, status.st_size, status.st_mtime_ns
                yield Entry(FILE, mode, size, time, start + here, b"", entry.path)
            else:
                yield from self._take(entry.path, start + here, inside, status)

    def rules(self, path: bytes, prefix: bytes, names: set[bytes]) -> Iterator[tuple[bytes, GitIgnoreSpec]]:
        for name in IGNORE_FILES:
            if name in names:
                from pathspec import GitIgnoreSpec

                try:
                    with open(os.path.join(path, name), encoding="utf-8", errors="replace") as file:
                        lines = file.read().splitlines()
                except OSError:
                    continue
                yield prefix, GitIgnoreSpec.from_lines(lines)

    def ignored(self, name: bytes, below: bytes, is_folder: bool, rules: Rules) -> bool:
        """The last rule that speaks of a name decides, the deepest file last, as git has it."""
        if name == ROOM or (self.cargo.ignore and is_folder and name in ALWAYS):
            return True
        for prefix, spec in reversed(rules):
            text = os.fsdecode(below[len(prefix) :]) + ("/" if is_folder else "")
            verdict = spec.check_file(text).include
            if verdict is not None:
                return verdict
        return False

    def _take(self, path: bytes, name: bytes, inside: bytes, status: os.stat_result) -> Iterator[Entry]:
        if stat.S_ISLNK(status.st_mode):
            yield from self._link(path, name, inside)
            return
        if not stat.S_ISREG(status.st_mode):
            self._skip(name, "is neither a file, a folder nor a link")
            return
        self._count(status.st_size)
        kind, link = FILE, b""
        if status.st_nlink > 1:
            link = self._inodes.setdefault((status.st_dev, status.st_ino), name)
            kind, link = (HARD, link) if link != name else (FILE, b"")
            self.linked = self.linked or kind == HARD
        yield Entry(kind, stat.S_IMODE(status.st_mode), status.st_size, status.st_mtime_ns, name, link, path)

    def _count(self, size: int) -> None:
        self.files += 1
        self.size += size
        limits = self.cargo.limits
        if self.files > limits.files or self.size > limits.total:
            raise trouble(
                f"more than {limits.files} files or {limits.total} bytes",
                hint="Leave out what is not needed with a .gpurentignore file.",
            )

    def _link(self, path: bytes, name: bytes, inside: bytes) -> Iterator[Entry]:
        target = os.readlink(path)
        place = os.path.normpath(os.path.join(inside, target))
        if target.startswith(b"/") or place.split(b"/")[0] == b"..":
            self._skip(name, f"is a link out of the folder, to {told(target)}")
            return
        yield Entry(LINK, 0o777, 0, 0, name, target, path)

    def _skip(self, name: bytes, why: str) -> None:
        from gpurent.api import Skipped

        self.skipped.append(Skipped(name=told(name), why=why))

"""The local side of a push: what there is to carry."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from attrs import define, field, frozen
from pathspec import GitIgnoreSpec

from gpurent.api import Limits, Push, Skipped, TransferError, UsageError, shown

# Never carried: version control, our own room, what Python makes anew.
ALWAYS = (".git/", ".gpurent/", ".gpurent-part/", "__pycache__/")
IGNORE_FILES = (".gitignore", ".gpurentignore")


@frozen(kw_only=True)
class Item:
    """One thing to carry. ``name`` is the remote name below the target, with slashes; ``link`` where a link points."""

    name: str
    path: Path
    kind: str
    size: int = 0
    mode: int = 0o644
    mtime: int = 0
    mtime_ns: int = 0
    link: str = ""

    @property
    def part(self) -> str:
        """The name of its partial: safe for any shell, and another one when the file is another one."""
        text = f"{self.name}\0{self.size}\0{self.mtime_ns}"
        return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


@define
class Scan:
    """Everything found, folders before what is in them."""

    items: list[Item] = field(factory=list)
    skipped: list[Skipped] = field(factory=list)
    size: int = 0
    files: int = 0


def scan(cargo: Push) -> Scan:
    """Walk the sources; links are never followed. Too much, or a source that is not there.

    An error before anything moves.
    """
    found = Scan()
    for source in cargo.sources:
        if not os.path.lexists(source):
            raise UsageError(f"{source} does not exist")
        if source.is_dir() and not source.is_symlink():
            top = "" if cargo.content and len(cargo.sources) == 1 else source.resolve().name
            _Walk(found, cargo, source).folder(source, top, [], 0)
        else:
            _take(found, cargo.limits, source, source.name, source.lstat(), source.parent)
    return found


class _Walk:
    def __init__(self, found: Scan, cargo: Push, root: Path) -> None:
        self.found, self.cargo, self.root = found, cargo, root
        self.always = GitIgnoreSpec.from_lines(ALWAYS)

    def folder(self, path: Path, name: str, rules: list[tuple[str, GitIgnoreSpec]], depth: int) -> None:
        if depth > self.cargo.limits.depth:
            raise TransferError(f"{path} lies deeper than {self.cargo.limits.depth} folders")
        here = path.relative_to(self.root).as_posix()
        if self.cargo.ignore:
            rules = [*rules, *self._rules(path, "" if here == "." else f"{here}/")]
        if name:
            found = path.lstat()
            self.found.items.append(
                Item(
                    name=name,
                    path=path,
                    kind="folder",
                    mode=stat.S_IMODE(found.st_mode),
                    mtime=int(found.st_mtime),
                )
            )
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise TransferError(f"{path} cannot be read: {error.strerror}") from None
        for entry in entries:
            if not _sayable(entry.name):
                self.found.skipped.append(Skipped(name=shown(entry.name), why="its name is not UTF-8"))
                continue
            inside = Path(entry.path).relative_to(self.root).as_posix()
            is_folder = entry.is_dir(follow_symlinks=False)
            if self._ignored(inside + ("/" if is_folder else ""), rules):
                continue
            child = f"{name}/{entry.name}" if name else entry.name
            if is_folder:
                self.folder(Path(entry.path), child, rules, depth + 1)
            else:
                status = entry.stat(follow_symlinks=False)
                _take(self.found, self.cargo.limits, Path(entry.path), child, status, self.root)

    def _rules(self, path: Path, prefix: str) -> Iterator[tuple[str, GitIgnoreSpec]]:
        for name in IGNORE_FILES:
            try:
                lines = (path / name).read_text("utf-8", "replace").splitlines()
            except OSError:
                continue
            yield prefix, GitIgnoreSpec.from_lines(lines)

    def _ignored(self, inside: str, rules: list[tuple[str, GitIgnoreSpec]]) -> bool:
        """The last rule that speaks of a name decides, the deepest file last, as git has it."""
        if self.cargo.ignore and self.always.match_file(inside):
            return True
        for prefix, spec in reversed(rules):
            if inside.startswith(prefix):
                verdict = spec.check_file(inside[len(prefix) :]).include
                if verdict is not None:
                    return verdict
        return False


def _sayable(name: str) -> bool:
    """Whether SFTP, as asyncssh speaks it, can name it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _take(found: Scan, limits: Limits, path: Path, name: str, status: os.stat_result, root: Path) -> None:
    if stat.S_ISLNK(status.st_mode):
        target = str(path.readlink())
        inside = os.path.normpath(path.parent / target)
        if target.startswith("/") or not Path(inside).is_relative_to(os.path.normpath(root)):
            found.skipped.append(Skipped(name=name, why=f"is a link out of the folder, to {target}"))
            return
        found.items.append(Item(name=name, path=path, kind="link", link=target))
        return
    if not stat.S_ISREG(status.st_mode):
        found.skipped.append(Skipped(name=name, why="is neither a file, a folder nor a link"))
        return
    found.files += 1
    found.size += status.st_size
    if found.files > limits.files or found.size > limits.total:
        raise TransferError(
            f"more than {limits.files} files or {limits.total} bytes",
            hint="Leave out what is not needed with a .gpurentignore file.",
        )
    found.items.append(
        Item(
            name=name,
            path=path,
            kind="file",
            size=status.st_size,
            mode=stat.S_IMODE(status.st_mode),
            mtime=int(status.st_mtime),
            mtime_ns=status.st_mtime_ns,
        )
    )

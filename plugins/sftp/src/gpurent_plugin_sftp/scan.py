"""The local side of a push: finds what to send."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from attrs import frozen
from pathspec import GitIgnoreSpec

from gpurent.api import (
    FileProblem,
    PushRequest,
    SkipKind,
    SkippedFile,
    UploadPreview,
    UploadTally,
    deep_folder_error,
    describe_outside_link,
    escape_name,
    exclusion_reason,
    missing_source_error,
    too_many_sources_error,
    unreadable_source_error,
)

# Never sent: version control, gpurent's own folders, what Python creates again.
ALWAYS_IGNORED = GitIgnoreSpec.from_lines((".git/", ".gpurent/", ".gpurent-part/", "__pycache__/"))
IGNORE_FILES = (".gitignore", ".gpurentignore")
MAX_SFTP_TIME = (1 << 32) - 1
Rules = tuple[tuple[str, GitIgnoreSpec], ...]


@frozen(kw_only=True)
class SourceItem:
    """One entry to send.

    ``name`` is the remote name below the target, with slashes; ``link_target`` is where a link points.
    """

    name: str
    path: Path
    kind: str
    size: int = 0
    mode: int = 0o644
    mtime: int = 0
    mtime_ns: int = 0
    link_target: str = ""

    @property
    def partial_name(self) -> str:
        """The name of its partial: safe for any shell, and different if the file has changed."""
        text = f"{self.name}\0{self.size}\0{self.mtime_ns}"
        return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def scan_sources(request: PushRequest) -> SftpSourceScan:
    """Walk the sources. Raises an error before the transfer if a limit is exceeded or a source is missing."""
    found = SftpSourceScan(request)
    for source in request.sources:
        if not os.path.lexists(source):
            raise missing_source_error(source)
        if source.is_dir() and not source.is_symlink():
            top = "" if request.contents_only and len(request.sources) == 1 else source.resolve().name
            found.add_folder(source, source, top, (), 0)
        else:
            found.add_entry(source.parent, source, source.name, source.lstat())
    return found


def preview_push(request: PushRequest) -> UploadPreview:
    """Scan without sending anything."""
    found = scan_sources(request)
    for item in found.items:
        if item.kind == "file":
            found.tally.add_file(escape_name(item.name), item.size)
    return found.tally.make_preview(found.skipped)


def get_sftp_time(status: os.stat_result) -> int:
    """Return an mtime in whole seconds as SFTP can carry it: from 1970 to 2106; any other counts as the nearest."""
    return min(max(status.st_mtime_ns // 10**9, 0), MAX_SFTP_TIME)


class SftpSourceScan:
    """All entries found, folders before their contents; links are never followed."""

    def __init__(self, request: PushRequest) -> None:
        self._request = request
        self.items: list[SourceItem] = []
        self.skipped: list[SkippedFile] = []
        self.tally = UploadTally()
        self._own_folders = frozenset(request.own_folders)
        self.size = self.files = 0

    def add_folder(self, root: Path, path: Path, name: str, rules: Rules, depth: int) -> None:
        """Add ``path``, below the source ``root``, as ``name``; ``rules`` are those of the folders above."""
        if depth > self._request.limits.max_depth:
            raise deep_folder_error(escape_name(str(path)), self._request.limits)
        if self._request.use_ignore_files:
            here = path.relative_to(root).as_posix()
            rules = (*rules, *_read_ignore_rules(path, "" if here == "." else f"{here}/"))
        if name:
            status = path.lstat()
            mode, mtime = stat.S_IMODE(status.st_mode), get_sftp_time(status)
            self.items.append(SourceItem(name=name, path=path, kind="folder", mode=mode, mtime=mtime))
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise unreadable_source_error(escape_name(str(path)), error) from None
        for entry in entries:
            if not _is_utf8(entry.name):
                why = FileProblem.NOT_UTF8.text
                self.skipped.append(SkippedFile(name=escape_name(entry.name), reason=why, kind=SkipKind.NAME))
                continue
            below = Path(entry.path)
            is_folder = entry.is_dir(follow_symlinks=False)
            child = f"{name}/{entry.name}" if name else entry.name
            if self._is_left_out(root, below, child, is_folder, rules):
                continue
            if is_folder:
                self.add_folder(root, below, child, rules, depth + 1)
            else:
                self.add_entry(root, below, child, entry.stat(follow_symlinks=False))

    def add_entry(self, root: Path, path: Path, name: str, status: os.stat_result) -> None:
        """Add a file or a link; anything else is skipped, and so is a link that leaves ``root``."""
        if stat.S_ISLNK(status.st_mode):
            target = str(path.readlink())
            inside = os.path.normpath(path.parent / target)
            if target.startswith("/") or not Path(inside).is_relative_to(os.path.normpath(root)):
                why = describe_outside_link(escape_name(target))
                self.skipped.append(SkippedFile(name=name, reason=why, kind=SkipKind.LINK))
            else:
                if self._request.states is not None:
                    self._request.states.add_link(os.fsencode(path), os.fsencode(target))
                self.items.append(SourceItem(name=name, path=path, kind="link", link_target=target))
            return
        if not stat.S_ISREG(status.st_mode):
            why = FileProblem.SPECIAL_FILE.text
            self.skipped.append(SkippedFile(name=name, reason=why, kind=SkipKind.SPECIAL))
            return
        self.files += 1
        self.size += status.st_size
        limits = self._request.limits
        if self._request.states is not None:
            # As it is here, and as it will be on the machine.
            for time in (status.st_mtime_ns, get_sftp_time(status) * 10**9):
                self._request.states.add_file(os.fsencode(path), status.st_size, time)
        if self.files > limits.max_files or self.size > limits.max_total_bytes:
            raise too_many_sources_error(limits)
        self.items.append(
            SourceItem(
                name=name,
                path=path,
                kind="file",
                size=status.st_size,
                mode=stat.S_IMODE(status.st_mode),
                mtime=get_sftp_time(status),
                mtime_ns=status.st_mtime_ns,
            )
        )

    def _is_left_out(self, root: Path, path: Path, name: str, is_folder: bool, rules: Rules) -> bool:
        """Return whether the entry is ignored, or holds what is never sent by accident; note why."""
        slash = "/" if is_folder else ""
        inside = path.relative_to(root).as_posix() + slash
        if self._request.use_ignore_files and ALWAYS_IGNORED.match_file(inside):
            return True
        if self._is_ignored(inside, rules):
            self.tally.add_ignored(escape_name(name) + slash)
            return True
        why = exclusion_reason(str(path), self._own_folders)
        if why:
            self.skipped.append(SkippedFile(name=escape_name(name), reason=why))
        return bool(why)

    def _is_ignored(self, inside: str, rules: Rules) -> bool:
        """Return whether it is ignored: as in git, the last matching rule decides, and deeper files come last."""
        for prefix, spec in reversed(rules):
            if inside.startswith(prefix):
                verdict = spec.check_file(inside[len(prefix) :]).include
                if verdict is not None:
                    return verdict
        return False


def _read_ignore_rules(path: Path, prefix: str) -> Iterator[tuple[str, GitIgnoreSpec]]:
    for name in IGNORE_FILES:
        try:
            lines = (path / name).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        yield prefix, GitIgnoreSpec.from_lines(lines)


def _is_utf8(name: str) -> bool:
    """Return whether the name is UTF-8: SFTP, as asyncssh implements it, supports nothing else."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

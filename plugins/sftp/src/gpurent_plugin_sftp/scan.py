"""The local side of a push: finds what to send."""

from __future__ import annotations

import os
import posixpath
import stat
from contextlib import suppress
from hashlib import sha256

from attrs import frozen

from gpurent.api import (
    FileProblem,
    IgnoreRules,
    LocalSource,
    OpenFolder,
    PushRequest,
    SkipKind,
    SkippedFile,
    SourceFile,
    SourceFiles,
    UploadPreview,
    UploadTally,
    deep_folder_error,
    describe_outside_link,
    escape_name,
    exclusion_reason,
    too_many_sources_error,
    unreadable_source_error,
)

# Never sent: version control, gpurent's own folders, what Python creates again.
ALWAYS_IGNORED = frozenset({".git", ".gpurent", ".gpurent-part", "__pycache__"})
MAX_SFTP_TIME = (1 << 32) - 1
Name = tuple[str | bytes, ...]


@frozen(kw_only=True)
class SourceItem:
    """One entry to send.

    ``name`` is the remote name below the target, with slashes; ``file`` is where it is here,
    ``link_target`` where a link points.
    """

    name: str
    file: SourceFile
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


def scan_sources(request: PushRequest, sources: SourceFiles) -> SftpSourceScan:
    """Walk the sources. Raises an error before the transfer if a limit is exceeded or a source is missing."""
    found = SftpSourceScan(request)
    for source in sources.open_sources():
        if source.is_folder:
            top = "" if request.contents_only and len(request.sources) == 1 else source.path.resolve().name
            FolderScan(found, source).add_folder(source.name, top, "", IgnoreRules(source), 0)
        else:
            file = source.get_file((), source.base)
            FolderScan(found, source).add_entry(file, str(source.path), source.base, "", source.read_status())
    return found


def preview_push(request: PushRequest, sources: SourceFiles) -> UploadPreview:
    """Scan without sending anything."""
    found = scan_sources(request, sources)
    for item in found.items:
        if item.kind == "file":
            found.tally.add_file(escape_name(item.name), item.size)
    return found.tally.make_preview(found.skipped)


def get_sftp_time(status: os.stat_result) -> int:
    """Return an mtime in whole seconds as SFTP can carry it: from 1970 to 2106; any other counts as the nearest."""
    return min(max(status.st_mtime_ns // 10**9, 0), MAX_SFTP_TIME)


class SftpSourceScan:
    """All entries found, folders before their contents."""

    def __init__(self, request: PushRequest) -> None:
        self.request = request
        self.items: list[SourceItem] = []
        self.skipped: list[SkippedFile] = []
        self.tally = UploadTally()
        self.own_folders = frozenset(request.own_folders)
        self.size = self.files = 0


class FolderScan:
    """Walks one source; links are never followed. ``inside`` is a path below the source, with a slash at the end."""

    def __init__(self, found: SftpSourceScan, source: LocalSource) -> None:
        self._found, self._request, self._source = found, found.request, source

    def add_folder(self, folder: Name, name: str, inside: str, rules: IgnoreRules, depth: int) -> None:
        """Add ``folder`` as ``name``; ``rules`` are those of the folders above."""
        path = self._get_path(inside)
        if depth > self._request.limits.max_depth:
            raise deep_folder_error(escape_name(path), self._request.limits)
        try:
            with self._source.open_folder(folder) as opened:
                self._add_contents(opened, folder, name, inside, rules, depth)
        except OSError as error:
            raise unreadable_source_error(escape_name(path), error) from None

    def _add_contents(
        self, opened: OpenFolder, folder: Name, name: str, inside: str, rules: IgnoreRules, depth: int
    ) -> None:
        if self._request.use_ignore_files:
            rules = rules.enter_folder(folder, os.fsencode(inside), opened)
        if name:
            status = opened.stat_entry(".")
            mode, mtime = stat.S_IMODE(status.st_mode), get_sftp_time(status)
            file = self._source.get_file(folder, ".")
            self._found.items.append(SourceItem(name=name, file=file, kind="folder", mode=mode, mtime=mtime))
        for entry in opened.list_entries():
            if not _is_utf8(entry.name):
                why = FileProblem.NOT_UTF8.text
                self._skip(escape_name(entry.name), why, SkipKind.NAME)
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            child = f"{name}/{entry.name}" if name else entry.name
            if self._is_left_out(inside + entry.name, child, is_folder, rules):
                continue
            if is_folder:
                self.add_folder((*folder, entry.name), child, f"{inside}{entry.name}/", rules, depth + 1)
                continue
            with suppress(FileNotFoundError):  # gone meanwhile
                status = entry.stat(follow_symlinks=False)
                file = self._source.get_file(folder, entry.name)
                self.add_entry(file, self._get_path(inside + entry.name), child, inside, status)

    def add_entry(self, file: SourceFile, path: str, name: str, inside: str, status: os.stat_result) -> None:
        """Add a file or a link in the folder ``inside``; anything else is skipped, and so is a link that leads out."""
        if stat.S_ISLNK(status.st_mode):
            target = os.fsdecode(file.read_link())
            end = posixpath.normpath(inside + target)
            if target.startswith("/") or end.split("/")[0] == "..":
                self._skip(name, describe_outside_link(escape_name(target)), SkipKind.LINK)
            else:
                if self._request.states is not None:
                    self._request.states.add_link(os.fsencode(path), os.fsencode(target))
                self._found.items.append(SourceItem(name=name, file=file, kind="link", link_target=target))
            return
        if not stat.S_ISREG(status.st_mode):
            self._skip(name, FileProblem.SPECIAL_FILE.text, SkipKind.SPECIAL)
            return
        self._add_file(file, path, name, status)

    def _add_file(self, file: SourceFile, path: str, name: str, status: os.stat_result) -> None:
        found, limits = self._found, self._request.limits
        found.files += 1
        found.size += status.st_size
        if self._request.states is not None:
            # As it is here, and as it will be on the machine.
            for time in (status.st_mtime_ns, get_sftp_time(status) * 10**9):
                self._request.states.add_file(os.fsencode(path), status.st_size, time)
        if found.files > limits.max_files or found.size > limits.max_total_bytes:
            raise too_many_sources_error(limits)
        found.items.append(
            SourceItem(
                name=name,
                file=file,
                kind="file",
                size=status.st_size,
                mode=stat.S_IMODE(status.st_mode),
                mtime=get_sftp_time(status),
                mtime_ns=status.st_mtime_ns,
            )
        )

    def _get_path(self, inside: str) -> str:
        return str(self._source.path / inside.rstrip("/"))

    def _skip(self, name: str, why: str, kind: SkipKind = SkipKind.OTHER) -> None:
        self._found.skipped.append(SkippedFile(name=name, reason=why, kind=kind))

    def _is_left_out(self, inside: str, name: str, is_folder: bool, rules: IgnoreRules) -> bool:
        """Return whether the entry is ignored, or holds what is never sent by accident; note why."""
        if self._request.use_ignore_files:
            if is_folder and inside.rpartition("/")[2] in ALWAYS_IGNORED:
                return True
            if rules and rules.find_verdict(os.fsencode(inside), is_folder=is_folder):
                self._found.tally.add_ignored(escape_name(name) + ("/" if is_folder else ""))
                return True
        why = exclusion_reason(self._get_path(inside), self._found.own_folders)
        if why:
            self._skip(escape_name(name), why)
        return bool(why)


def _is_utf8(name: str) -> bool:
    """Return whether the name is UTF-8: SFTP, as asyncssh implements it, supports nothing else."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

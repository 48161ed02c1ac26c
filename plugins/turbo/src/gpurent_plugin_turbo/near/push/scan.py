"""Finds what to send, entry by entry, so that a million files need little memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from gpurent import api
from gpurent_plugin_turbo.near.errors import printable_name
from gpurent_plugin_turbo.shared.annotations import TableRow
from gpurent_plugin_turbo.shared.codec import BEST_DIGEST, compute_digest
from gpurent_plugin_turbo.shared.files import digest_file, make_partial_name
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, HARD_LINK, LINK, PARTIALS_DIR, get_time

LARGE_FILE = 1 << 20  # bytes; from this size on a file is sent in pieces
# Never sent: version control, gpurent's own folders, what Python creates again.
ALWAYS_IGNORED = frozenset({b".git", b".gpurent", PARTIALS_DIR, b"__pycache__"})
_SPECIAL_NAMES = frozenset({PARTIALS_DIR, *(os.fsencode(name) for name in api.CREDENTIAL_NAMES)})


class SourceEntry:
    """One entry to send: ``name`` below the remote target, ``file`` locally; ``time``: mtime in ns."""

    __slots__ = ("file", "kind", "link", "mode", "name", "size", "time")

    def __init__(
        self, kind: int, mode: int, size: int, time: int, name: bytes, link: bytes, file: api.SourceFile
    ) -> None:
        self.kind, self.mode, self.size, self.time = kind, mode, size, time
        self.name, self.link, self.file = name, link, file

    @property
    def table_row(self) -> TableRow:
        return (self.kind, self.mode, self.size, self.time, self.name, self.link)

    @property
    def partial_name(self) -> bytes:
        """The name of its partial on the machine."""
        return make_partial_name(self.name, self.size, self.time)

    def measure_disk_usage(self) -> int:
        """Return the bytes that a file takes on disk; holes take none."""
        if self.size < LARGE_FILE:
            return self.size
        try:
            return min(self.size, self.file.read_status().st_blocks * 512)
        except OSError:
            return self.size

    def describe_change(self, handle: int) -> str:
        """Return why what ``handle`` reads is not the file that was scanned; empty if it is."""
        try:
            for now in (os.fstat(handle), self.file.read_status()):
                if (now.st_size, get_time(now)) != (self.size, self.time):
                    return api.FileProblem.CHANGED.text
        except OSError as error:
            return api.describe_unreadable(error)
        return ""

    def compute_digest(self) -> bytes:
        """Return the digest of the file; empty if it cannot be read."""
        try:
            handle = self.file.open_file()
        except OSError:
            return b""
        try:
            return digest_file(handle)
        except OSError:
            return b""
        finally:
            os.close(handle)

    def refresh(self) -> SourceEntry | None:
        """Return the entry in its current state; None if it is no longer a file."""
        try:
            now = self.file.read_status()
        except OSError:
            return None
        if not stat.S_ISREG(now.st_mode):
            return None
        mode = stat.S_IMODE(now.st_mode)
        return SourceEntry(self.kind, mode, now.st_size, get_time(now), self.name, self.link, self.file)


class FolderPlace:
    """A folder of a source: ``path`` locally, ``name`` below the remote target, ``prefix`` below the source."""

    __slots__ = ("depth", "folder", "name", "path", "prefix", "source")

    def __init__(
        self,
        source: api.LocalSource,
        folder: tuple[str | bytes, ...],
        path: bytes,
        name: bytes,
        prefix: bytes,
        depth: int,
    ) -> None:
        self.source, self.folder, self.path = source, folder, path
        self.name, self.prefix, self.depth = name, prefix, depth

    def get_child(self, base: bytes, path: bytes, name: bytes) -> FolderPlace:
        folder, prefix = (*self.folder, base), self.prefix + base + b"/"
        return FolderPlace(self.source, folder, path, name, prefix, self.depth + 1)


class SourceScan:
    """Walks the sources without following links; counts files and bytes on the way."""

    def __init__(self, request: api.PushRequest, sources: api.SourceFiles) -> None:
        self.request, self._sources = request, sources
        self.files = self.size = 0
        self.skipped: list[api.SkippedFile] = []
        self.has_hard_links = False
        self.tally: api.UploadTally | None = None  # set for a preview
        self._own_folders = frozenset(request.own_folders)
        self._special_names = _SPECIAL_NAMES | {os.path.basename(os.fsencode(it)) for it in self._own_folders}
        self._names_by_inode: dict[tuple[int, int], bytes] = {}

    def check_sources(self) -> None:
        """Raise a `UsageError` before anything is transferred if a source does not exist."""
        self._sources.open_sources()

    def iter_entries(self) -> Iterator[SourceEntry]:
        """Yield folders before their contents. Raises `TransferError` if a limit is exceeded."""
        for source in self._sources.open_sources():
            path = os.fsencode(source.path)
            if source.is_folder:
                contents_only = self.request.contents_only and len(self.request.sources) == 1
                top = b"" if contents_only else os.path.basename(os.path.realpath(path))
                place = FolderPlace(source, source.name, path, top, b"", 0)
                yield from self._walk_folder(place, api.IgnoreRules(source))
                continue
            file = source.get_file((), source.base)
            entry = self._make_entry(file, path, os.path.basename(path), b"", source.read_status())
            if entry is not None:
                yield entry

    def _walk_folder(self, place: FolderPlace, rules: api.IgnoreRules) -> Iterator[SourceEntry]:
        if place.depth > self.request.limits.max_depth:
            raise api.deep_folder_error(printable_name(place.path), self.request.limits)
        try:
            opened = place.source.open_folder(place.folder)
        except OSError as error:
            raise api.unreadable_source_error(printable_name(place.path), error) from None
        with opened:
            try:
                entries, status = opened.list_entries(), opened.stat_entry(".")
            except OSError as error:
                raise api.unreadable_source_error(printable_name(place.path), error) from None
            if place.name:
                file = place.source.get_file(place.folder, b".")
                yield SourceEntry(FOLDER, stat.S_IMODE(status.st_mode), 0, 0, place.name, b"", file)
            if self.request.use_ignore_files:
                names = {entry.name for entry in entries}
                rules = rules.enter_folder(place.folder, place.prefix, opened, names)
            yield from self._walk_entries(place, entries, rules)

    def _walk_entries(
        self, place: FolderPlace, entries: Sequence[api.FolderEntry], rules: api.IgnoreRules
    ) -> Iterator[SourceEntry]:
        start, start_path = place.name + b"/" if place.name else b"", os.path.join(place.path, b"")
        for entry in entries:
            here = os.fsencode(entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            path, name = start_path + here, start + here
            # Without rules few names are left out, so most files skip the full check.
            if (rules or is_folder or here in self._special_names) and self._is_left_out(
                path, name, place.prefix + here, is_folder, rules
            ):
                continue
            if is_folder:
                yield from self._walk_folder(place.get_child(here, path, name), rules)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            file = place.source.get_file(place.folder, here)
            if (found := self._make_entry(file, path, name, place.prefix, status)) is not None:
                yield found

    def _is_left_out(
        self, path: bytes, name: bytes, below: bytes, is_folder: bool, rules: api.IgnoreRules
    ) -> bool:
        """Return whether the entry is ignored, or holds what is never sent by accident; note why."""
        here = os.path.basename(path)
        if self.is_ignored(here, below, is_folder, rules):
            if self.tally is not None and here not in ALWAYS_IGNORED:
                self.tally.add_ignored(printable_name(name) + ("/" if is_folder else ""))
            return True
        why = api.exclusion_reason(os.fsdecode(path), self._own_folders)
        if why:
            self.skipped.append(api.SkippedFile(name=printable_name(name), reason=why))
        return bool(why)

    def is_ignored(self, name: bytes, below: bytes, is_folder: bool, rules: api.IgnoreRules) -> bool:
        """Return whether ``name`` is ignored, which is at ``below`` in its source."""
        if name == PARTIALS_DIR or (self.request.use_ignore_files and is_folder and name in ALWAYS_IGNORED):
            return True
        return bool(rules) and rules.find_verdict(below, is_folder=is_folder) is True

    def _make_entry(
        self, file: api.SourceFile, path: bytes, name: bytes, prefix: bytes, status: os.stat_result
    ) -> SourceEntry | None:
        """Return the entry; None if it is skipped."""
        if stat.S_ISLNK(status.st_mode):
            target = file.read_link()
            resolved = os.path.normpath(os.path.join(prefix, target))
            if not target.startswith(b"/") and resolved.split(b"/")[0] != b"..":
                if self.request.states is not None:
                    self.request.states.add_link(path, target)
                return SourceEntry(LINK, 0o777, 0, 0, name, target, file)
            why, skip_kind = api.describe_outside_link(printable_name(target)), api.SkipKind.LINK
        elif not stat.S_ISREG(status.st_mode):
            why, skip_kind = api.FileProblem.SPECIAL_FILE.text, api.SkipKind.SPECIAL
        else:
            return self._make_file_entry(file, path, name, status)
        self.skipped.append(api.SkippedFile(name=printable_name(name), reason=why, kind=skip_kind))
        return None

    def _make_file_entry(
        self, file: api.SourceFile, path: bytes, name: bytes, status: os.stat_result
    ) -> SourceEntry:
        self.files += 1
        self.size += status.st_size
        limits = self.request.limits
        if self.tally is not None:
            self.tally.add_file(printable_name(name), status.st_size)
        if self.request.states is not None:
            self.request.states.add_file(path, status.st_size, status.st_mtime_ns)
        if self.files > limits.max_files or self.size > limits.max_total_bytes:
            raise api.too_many_sources_error(limits)
        kind, link = FILE, b""
        if status.st_nlink > 1:
            first = self._names_by_inode.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                kind, link, self.has_hard_links = HARD_LINK, first, True
        mode, size, time = stat.S_IMODE(status.st_mode), status.st_size, get_time(status)
        return SourceEntry(kind, mode, size, time, name, link, file)


def preview_push(request: api.PushRequest, sources: api.SourceFiles) -> api.UploadPreview:
    """Scan without sending anything."""
    scan = SourceScan(request, sources)
    scan.check_sources()
    scan.tally = tally = api.UploadTally()
    for _entry in scan.iter_entries():
        pass
    return tally.make_preview(scan.skipped)


def mark_first_push(connection: api.SshConnection, target: str) -> bool:
    """Return whether this computer has never pushed to ``target`` before, and note that it does now.

    The remote files then need not be listed first. This is only a guess.
    """
    note = f"pushed-{compute_digest(BEST_DIGEST, target.encode()).hex()[:16]}"
    try:
        path = os.path.join(os.path.dirname(connection.key_file), note)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    return True

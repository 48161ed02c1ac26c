"""Decides which names listed by a hostile remote side are accepted locally, and how much in total."""

from __future__ import annotations

import posixpath

from attrs import define

from gpurent.api import (
    FileProblem,
    NameProblem,
    PullRequest,
    RemoteState,
    SafeDir,
    SkipKind,
    SkippedFile,
    SkippedFiles,
    deep_folder_error,
    describe_bad_link,
    download_failures_error,
    escape_name,
    find_name_problem,
    link_reject_reason,
    missing_remote_sources_error,
    source_name_error,
    too_many_remote_files_error,
)
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.errors import printable_name
from gpurent_plugin_turbo.shared.files import has_same_state
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK, MISSING, UNREADABLE

# The files of a refused folder are listed one by one.
_SKIP_KINDS = {LINK: SkipKind.LINK, FOLDER: SkipKind.OTHER}
MAX_LINK_BYTES = 32 << 20  # bytes of links that are kept until the end
Name = tuple[bytes, ...]


@define(eq=False)
class RemoteFile:
    """``path`` on the machine, ``name`` below the local target as accepted components; ``time``: mtime in ns."""

    path: bytes
    name: Name
    size: int
    mode: int
    time: int
    is_sparse: bool = False
    tries: int = 0

    @property
    def printable_name(self) -> str:
        return printable_name(b"/".join(self.name))

    def is_downloaded(self, target: SafeDir) -> bool:
        """Return whether it is already here, judging by size and mtime."""
        remote = RemoteState(self.size, self.time, lambda here: has_same_state(here, self.size, self.time))
        return target.has_file(self.name, remote)


class NamePolicy:
    """Checks names and limits locally: nothing that the remote side says decides how much is accepted."""

    def __init__(self, request: PullRequest) -> None:
        self._request = request
        self._last_entry: tuple[int, Name] = (-1, ())
        self._roots = [posixpath.basename(posixpath.normpath(source)) for source in request.sources]
        self._link_bytes_left = MAX_LINK_BYTES
        self._files_seen = 0
        self._skipped = SkippedFiles()
        self.missing_sources: list[str] = []
        self.links: list[tuple[Name, bytes]] = []
        self.entries_seen = self.size = self.files = 0

    @property
    def skipped(self) -> tuple[SkippedFile, ...]:
        return tuple(self._skipped.items)

    def get_remote_path(self, source: int, raw: bytes) -> bytes:
        """Return the path on the machine of an entry listed as ``raw``."""
        place = posixpath.dirname(posixpath.normpath(self._request.sources[source])).encode()
        return place + b"/" + raw if place not in (b"", b"/") else place + raw

    def check_sources(self) -> None:
        """Raise a `TransferError` before anything is transferred if a source's name cannot be used locally."""
        for source, root in zip(self._request.sources, self._roots, strict=True):
            if problem := find_name_problem(root, self._request.limits.max_name_bytes):
                raise source_name_error(escape_name(source), problem.text)

    def accept_entry(self, target: SafeDir, source: int, kind: int, size: int, raw: bytes) -> Name | None:
        """Create accepted folders; return the name of an accepted file or link as components, else None."""
        if kind == MISSING:
            self.missing_sources.append(escape_name(self._request.sources[source]))
            return None
        if kind == UNREADABLE:
            self.skip_name(raw, FileProblem.UNREADABLE.text, SkipKind.UNREADABLE)
            return None
        text = raw.decode("utf-8", "surrogateescape").split("/")
        longest = self._request.limits.max_name_bytes
        if problem := self._request.names.find_problem(text, longest, is_folder=kind == FOLDER):
            self._refuse_name(source, kind, size, raw, problem)
            return None
        parts, why = tuple(raw.split(b"/")), ""
        if parts[0] != self._roots[source].encode():
            why = _("was not requested")
        elif (source, parts) <= self._last_entry:
            why = FileProblem.DUPLICATE.text
        if why:
            self.skip_name(raw, why)
            self.size -= size if kind == FILE else 0
            return None
        self._last_entry = (source, parts)
        self.files += kind == FILE
        if kind in (FILE, LINK):
            return parts
        if kind == FOLDER:
            target.make_folder(parts)
        else:
            self.skip_name(raw, FileProblem.SPECIAL_FILE.text, SkipKind.SPECIAL)
        return None

    def _refuse_name(self, source: int, kind: int, size: int, raw: bytes, problem: NameProblem) -> None:
        if kind == FILE:
            self.size -= size
            self._skipped.add_refused_file(raw, problem, self.get_remote_path(source, raw), size)
        else:
            self.skip_name(raw, problem.text, _SKIP_KINDS.get(kind, SkipKind.SPECIAL))

    def accept_link(self, name: Name, target: bytes) -> None:
        """Keep a symbolic link until every file is here, or skip it."""
        try:
            place = [part.decode() for part in name[:-1]]
            why = link_reject_reason(place, target.decode(), self._roots, self._request.limits.max_name_bytes)
        except UnicodeDecodeError:
            why = _("its target is not valid UTF-8")
        self._link_bytes_left -= sum(map(len, name)) + len(target)
        if not why and self._link_bytes_left < 0:
            why = _("there are too many symbolic links")
        if why:
            self.skip_name(b"/".join(name), describe_bad_link(why), SkipKind.LINK)
        else:
            self.links.append((name, target))

    def create_links(self, folder: SafeDir) -> None:
        """Create the links last, so that nothing can be written through them."""
        for name, target in self.links:
            if not folder.make_symlink(name, target):
                self.skip_name(b"/".join(name), FileProblem.IN_THE_WAY.text, SkipKind.LINK)

    def skip_name(self, raw: bytes, why: str, kind: SkipKind = SkipKind.OTHER) -> None:
        self._skipped.add(raw, why, kind)

    def count_entry(self, kind: int, size: int, raw: bytes) -> None:
        limits = self._request.limits
        self.entries_seen += 1
        self._files_seen += kind == FILE
        self.size += size if kind == FILE else 0
        self._check_limits()
        if kind != MISSING and raw.count(b"/") > limits.max_depth:
            raise deep_folder_error(printable_name(raw), limits)

    def update_file(self, file: RemoteFile, size: int, time: int) -> None:
        self.size += size - file.size
        file.size, file.time = size, time
        self._check_limits()

    def _check_limits(self) -> None:
        """Raise a `TransferError` if a limit is exceeded; entries that are not files may be as many again."""
        limits = self._request.limits
        if (
            self._files_seen > limits.max_files
            or self.entries_seen > 2 * limits.max_files
            or self.size > limits.max_total_bytes
        ):
            raise too_many_remote_files_error(limits)

    def raise_failures(self, failures: list[tuple[str, str]]) -> None:
        """Raise a `TransferError` if files failed (names and reasons) or sources are missing."""
        if failures:
            raise download_failures_error(failures)
        if self.missing_sources:
            raise missing_remote_sources_error(self.missing_sources)

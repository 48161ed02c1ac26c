"""Which names of those that a hostile far side lists become local ones, and how much is accepted in all."""

from __future__ import annotations

import posixpath

from attrs import define

from gpurent.api import (
    PullRequest,
    SafeDir,
    SkippedName,
    TransferError,
    escape_name,
    link_reject_reason,
    name_reject_reason,
)
from gpurent_plugin_turbo.near.errors import printable_name, summarize_failures
from gpurent_plugin_turbo.shared.files import has_same_state
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK, MISSING, UNREADABLE

MAX_LINK_BYTES = 32 << 20  # bytes of links that are remembered until the end
UNREADABLE_REASON, CHANGED_REASON = "cannot be read there", "changed or vanished while it was read"
Name = tuple[bytes, ...]


@define(eq=False)
class RemoteFile:
    """``path`` on the machine, ``name`` below the local target as accepted components; ``time`` of change in ns."""

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
        """Whether it is here already, as far as size and time tell."""
        here = target.stat_file(self.name)
        return here is not None and has_same_state(here, self.size, self.time)


class NamePolicy:
    """Names and limits are ours: nothing that the far side says decides how much is accepted."""

    def __init__(self, request: PullRequest) -> None:
        self._request = request
        self._last_entry: tuple[int, Name] = (-1, ())
        self._roots = [posixpath.basename(posixpath.normpath(source)) for source in request.sources]
        self._link_bytes_left = MAX_LINK_BYTES
        self._files_seen = 0
        self.skipped: list[SkippedName] = []
        self.missing_sources: list[str] = []
        self.links: list[tuple[Name, bytes]] = []
        self.entries_seen = self.size = self.files = 0

    def check_sources(self) -> None:
        """A source whose name may not be a local one is an error before anything moves."""
        for source, root in zip(self._request.sources, self._roots, strict=True):
            if why := name_reject_reason(root, self._request.limits.name):
                raise TransferError(f"{escape_name(source)} cannot be brought home: its name {why}")

    def accept_entry(self, target: SafeDir, source: int, kind: int, size: int, raw: bytes) -> Name | None:
        """The components of the name of a file or link that may become a local one, and folders made; else None."""
        if kind == MISSING:
            self.missing_sources.append(escape_name(self._request.sources[source]))
            return None
        if kind == UNREADABLE:
            self.skip_name(raw, UNREADABLE_REASON)
            return None
        parts = tuple(raw.split(b"/"))
        why = ""
        for part in parts:
            try:
                why = why or name_reject_reason(part.decode(), self._request.limits.name)
            except UnicodeDecodeError:
                why = "is not UTF-8"
        if not why and parts[0] != self._roots[source].encode():
            why = "was not asked for"
        if not why and (source, parts) <= self._last_entry:
            why = "came twice or out of order"
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
            self.skip_name(raw, "is a special file")
        return None

    def accept_link(self, name: Name, target: bytes) -> None:
        """A symbolic link: remembered until every file is here, or skipped."""
        try:
            place = [part.decode() for part in name[:-1]]
            why = link_reject_reason(place, target.decode(), self._roots, self._request.limits.name)
        except UnicodeDecodeError:
            why = "points to a name that is not UTF-8"
        self._link_bytes_left -= sum(map(len, name)) + len(target)
        if not why and self._link_bytes_left < 0:
            why = "is one link too many"
        if why:
            self.skip_name(b"/".join(name), f"is a link, and {why}")
        else:
            self.links.append((name, target))

    def create_links(self, folder: SafeDir) -> None:
        """Last, when nothing is written any more that could go through them."""
        for name, target in self.links:
            if not folder.make_symlink(name, target):
                self.skip_name(b"/".join(name), "is a link, and a folder has its name here")

    def skip_name(self, raw: bytes, why: str) -> None:
        if len(self.skipped) < 10_000:
            self.skipped.append(SkippedName(name=escape_name(raw.decode("utf-8", "replace")), why=why))

    def count_entry(self, kind: int, size: int, raw: bytes) -> None:
        limits = self._request.limits
        self.entries_seen += 1
        self._files_seen += kind == FILE
        self.size += size if kind == FILE else 0
        self._check_limits()
        if kind != MISSING and raw.count(b"/") > limits.depth:
            raise TransferError(f"the machine lists folders deeper than {limits.depth}")

    def update_file(self, file: RemoteFile, size: int, time: int) -> None:
        self.size += size - file.size
        file.size, file.time = size, time
        self._check_limits()

    def _check_limits(self) -> None:
        """Files have their limit, and what else has a name may be as many again."""
        limits = self._request.limits
        if (
            self._files_seen > limits.files
            or self.entries_seen > 2 * limits.files
            or self.size > limits.total
        ):
            raise TransferError(
                f"the machine lists more than {limits.files} files or {limits.total} bytes",
                hint="Ask for less: name single folders or files.",
            )

    def raise_failures(self, failures: list[tuple[str, str]]) -> None:
        """A `TransferError`, if there are any: names and why they did not come, or missing sources."""
        if failures:
            text = summarize_failures([f"{name} {why}" for name, why in failures])
            raise TransferError(text, hint="Everything else has come home. Pull again.")
        if self.missing_sources:
            names = ", ".join(self.missing_sources)
            raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")

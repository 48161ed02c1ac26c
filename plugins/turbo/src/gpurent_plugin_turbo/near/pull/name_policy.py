"""Which names of those that a hostile far side lists become local ones, and how much is accepted in all."""

from __future__ import annotations

import posixpath

from attrs import define

from gpurent.api import Pull, SafeDir, Skipped, TransferError, link_objection, objection, shown
from gpurent_plugin_turbo.near.errors import list_first, printable_name
from gpurent_plugin_turbo.shared.files import has_same_state
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK, MISSING, UNREADABLE

MAX_LINK_BYTES = 32 << 20  # bytes of links that are remembered until the end
UNREADABLE_THERE, CHANGED_THERE = "cannot be read there", "changed or vanished while it was read"
Name = tuple[bytes, ...]


@define(eq=False)
class RemoteFile:
    """``path`` on the machine, ``name`` below the local target as accepted components; ``time`` of change in ns."""

    path: bytes
    name: Name
    size: int
    mode: int
    time: int
    sparse: bool = False
    tries: int = 0

    @property
    def printable(self) -> str:
        return printable_name(b"/".join(self.name))

    def is_in(self, target: SafeDir) -> bool:
        """Whether it is here already, as far as size and time tell."""
        here = target.stat_file(self.name)
        return here is not None and has_same_state(here, self.size, self.time)


class NamePolicy:
    """Names and limits are ours: nothing that the far side says decides how much is accepted."""

    def __init__(self, spec: Pull) -> None:
        self._spec = spec
        self._last: tuple[int, Name] = (-1, ())
        self._roots = [posixpath.basename(posixpath.normpath(source)) for source in spec.sources]
        self._links_left = MAX_LINK_BYTES
        self._files_seen = 0
        self.skipped: list[Skipped] = []
        self.missing: list[str] = []
        self.links: list[tuple[Name, bytes]] = []
        self.seen = self.size = self.files = 0

    def check_sources(self) -> None:
        """A source whose name may not be a local one is an error before anything moves."""
        for source, root in zip(self._spec.sources, self._roots, strict=True):
            if why := objection(root, self._spec.limits.name):
                raise TransferError(f"{shown(source)} cannot be brought home: its name {why}")

    def accept_entry(self, target: SafeDir, source: int, kind: int, size: int, raw: bytes) -> Name | None:
        """The components of the name of a file or link that may become a local one, and folders made; else None."""
        if kind == MISSING:
            self.missing.append(shown(self._spec.sources[source]))
            return None
        if kind == UNREADABLE:
            self.skip_name(raw, UNREADABLE_THERE)
            return None
        parts = tuple(raw.split(b"/"))
        why = ""
        for part in parts:
            try:
                why = why or objection(part.decode(), self._spec.limits.name)
            except UnicodeDecodeError:
                why = "is not UTF-8"
        if not why and parts[0] != self._roots[source].encode():
            why = "was not asked for"
        if not why and (source, parts) <= self._last:
            why = "came twice or out of order"
        if why:
            self.skip_name(raw, why)
            self.size -= size if kind == FILE else 0
            return None
        self._last = (source, parts)
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
            why = link_objection(place, target.decode(), self._roots, self._spec.limits.name)
        except UnicodeDecodeError:
            why = "points to a name that is not UTF-8"
        self._links_left -= sum(map(len, name)) + len(target)
        if not why and self._links_left < 0:
            why = "is one link too many"
        if why:
            self.skip_name(b"/".join(name), f"is a link, and {why}")
        else:
            self.links.append((name, target))

    def create_links(self, folder: SafeDir) -> None:
        """Last, when nothing is written any more that could go through them."""
        for name, target in self.links:
            if not folder.make_link(name, target):
                self.skip_name(b"/".join(name), "is a link, and a folder has its name here")

    def skip_name(self, raw: bytes, why: str) -> None:
        if len(self.skipped) < 10_000:
            self.skipped.append(Skipped(name=shown(raw.decode("utf-8", "replace")), why=why))

    def count_entry(self, kind: int, size: int, raw: bytes) -> None:
        limits = self._spec.limits
        self.seen += 1
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
        limits = self._spec.limits
        if self._files_seen > limits.files or self.seen > 2 * limits.files or self.size > limits.total:
            raise TransferError(
                f"the machine lists more than {limits.files} files or {limits.total} bytes",
                hint="Ask for less: name single folders or files.",
            )

    def raise_failures(self, failures: list[tuple[str, str]]) -> None:
        """A `TransferError`, if there are any: names and why they did not come, or missing sources."""
        if failures:
            text = list_first([f"{name} {why}" for name, why in failures])
            raise TransferError(text, hint="Everything else has come home. Pull again.")
        if self.missing:
            names = ", ".join(self.missing)
            raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")

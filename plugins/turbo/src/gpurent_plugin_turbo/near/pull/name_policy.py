"""What a hostile far side lists, and what of it is taken."""

from __future__ import annotations

import posixpath

from attrs import define, field

from gpurent.api import Pull, Skipped, TransferError, link_objection, objection, shown
from gpurent_plugin_turbo.near.pull.safe_dir import Name, Shelf, told

LOST = b"lost"
LINKS = 32 << 20  # bytes of links that are kept in mind until the end


@define(eq=False)
class Far:
    """A remote file: ``path`` there, ``name`` below the local target as judged components."""

    path: bytes
    name: Name
    size: int
    mode: int
    time: int
    sparse: bool = False
    tries: int = 0

    @property
    def text(self) -> str:
        return told(self.name)


@define(eq=False)
class Whole:
    """A large file that comes in pieces."""

    far: Far
    part: bytes
    handle: int
    ranges: list[tuple[int, int]]
    owed: int = 0
    digest: bytes = b""

    @property
    def lost(self) -> bool:
        """Given up: what is still under way for it counts no more."""
        return self.digest == LOST


@define(eq=False)
class Job:
    """What was asked for on one line."""

    size: int
    files: list[Far] = field(factory=list)
    whole: Whole | None = None
    at: int = 0
    blocks: bool = False
    sent_at: float = 0.0


class Judge:
    """Our own limits and name policy: nothing of the far side's say-so decides how much is taken."""

    def __init__(self, cargo: Pull) -> None:
        self._cargo = cargo
        self._last: tuple[int, Name] = (-1, ())
        self._tops = [posixpath.basename(posixpath.normpath(source)) for source in cargo.sources]
        self._links_left = LINKS
        self._files_seen = 0
        self.skipped: list[Skipped] = []
        self.missing: list[str] = []
        self.links: list[tuple[Name, bytes]] = []
        self.seen = self.size = self.files = 0

    def name(self, source: int, raw: bytes) -> Name | None:
        """The components of a name that may become a local one; None: it was skipped."""
        parts = tuple(raw.split(b"/"))
        why = ""
        for part in parts:
            try:
                why = why or objection(part.decode(), self._cargo.limits.name)
            except UnicodeDecodeError:
                why = "is not UTF-8"
        if not why and parts[0] != self._tops[source].encode():
            why = "was not asked for"
        if not why and (source, parts) <= self._last:
            why = "came twice or out of order"
        if why:
            self.skip(raw, why)
            return None
        self._last = (source, parts)
        return parts

    def link(self, name: Name, target: bytes) -> None:
        """A symbolic link: remembered until every file is here, or skipped."""
        try:
            place = [part.decode() for part in name[:-1]]
            why = link_objection(place, target.decode(), self._tops, self._cargo.limits.name)
        except UnicodeDecodeError:
            why = "points to a name that is not UTF-8"
        self._links_left -= sum(map(len, name)) + len(target)
        if not why and self._links_left < 0:
            why = "is one link too many"
        if why:
            self.skip(b"/".join(name), f"is a link, and {why}")
        else:
            self.links.append((name, target))

    def make_links(self, shelf: Shelf) -> None:
        """Last, when nothing is written any more that could go through them."""
        for name, target in self.links:
            if not shelf.link(name, target):
                self.skip(b"/".join(name), "is a link, and a folder has its name here")

    def skip(self, raw: bytes, why: str) -> None:
        if len(self.skipped) < 10_000:
            self.skipped.append(Skipped(name=shown(raw.decode("utf-8", "replace")), why=why))

    def count(self, parts: int, size: int, is_file: bool) -> None:
        limits = self._cargo.limits
        self.seen += 1
        self._files_seen += is_file
        self.size += size
        self._within()
        if parts > limits.depth:
            raise TransferError(f"the machine lists folders deeper than {limits.depth}")

    def changed(self, far: Far, size: int, time: int) -> None:
        """It is another file by now."""
        self.size += size - far.size
        far.size, far.time = size, time
        self._within()

    def _within(self) -> None:
        """Files have their limit, and what else has a name may be as many again."""
        limits = self._cargo.limits
        if self._files_seen > limits.files or self.seen > 2 * limits.files or self.size > limits.total:
            raise TransferError(
                f"the machine lists more than {limits.files} files or {limits.total} bytes",
                hint="Ask for less: name single folders or files.",
            )

"""What a hostile far side lists, and what of it is taken."""

from __future__ import annotations

import posixpath

from attrs import define, field

from gpurent.api import Pull, Skipped, TransferError, objection, shown
from gpurent_plugin_turbo.shelf import Name, told


@define(eq=False)
class Far:
    """A remote file: ``path`` there, ``name`` below the local target as judged components."""

    path: bytes
    name: Name
    size: int
    mode: int
    time: int
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
        self.skipped: list[Skipped] = []
        self.missing: list[str] = []
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
        top = posixpath.basename(posixpath.normpath(self._cargo.sources[source])).encode()
        if not why and parts[0] != top:
            why = "was not asked for"
        if not why and (source, parts) <= self._last:
            why = "came twice or out of order"
        if why:
            self.skip(raw, why)
            return None
        self._last = (source, parts)
        return parts

    def skip(self, raw: bytes, why: str) -> None:
        if len(self.skipped) < 10_000:
            self.skipped.append(Skipped(name=shown(raw.decode("utf-8", "replace")), why=why))

    def count(self, parts: int, size: int) -> None:
        limits = self._cargo.limits
        self.seen += 1
        self.size += size
        if self.seen > limits.files or self.size > limits.total:
            raise TransferError(
                f"the machine lists more than {limits.files} names or {limits.total} bytes",
                hint="Ask for less: name single folders or files.",
            )
        if parts > limits.depth:
            raise TransferError(f"the machine lists folders deeper than {limits.depth}")

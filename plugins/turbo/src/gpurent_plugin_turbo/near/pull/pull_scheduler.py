"""The near half of a pull: what there is, what is wanted of it, what each line is asked for."""

from __future__ import annotations

import posixpath
import struct
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import monotonic

from gpurent.api import Progress, Pull, UnavailableError, shown
from gpurent_plugin_turbo.near.connection.idle_timeout import Patience
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.connection.ssh_process import Wire
from gpurent_plugin_turbo.near.connection.stream_pool import Fleet, Stream
from gpurent_plugin_turbo.near.pull.name_policy import Far, Job, Judge, Whole
from gpurent_plugin_turbo.near.pull.safe_dir import Shelf
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.errors import Broken, Ended
from gpurent_plugin_turbo.shared.files import part_of, same
from gpurent_plugin_turbo.shared.pull_frames import MISSING, NOW, PIECE, SPARSE, UNREADABLE
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK

AHEAD = 2  # manifests that are asked for
BACKLOG = 20_000
BIG = MIB
PACK_FILES = 500
END = 0xFFFFFFFF


class Asking(Fleet):
    """Knows what was listed and what no line was asked for yet."""

    def __init__(
        self,
        cargo: Pull,
        progress: Progress,
        dial: Callable[[bool], Wire],
        *,
        whole: bool = False,
        lines: int = 8,
        limit: int = 0,
    ) -> None:
        super().__init__(dial, lines)
        self._cargo, self._progress, self._whole = cargo, progress, whole
        self._limit = limit
        self._judge = Judge(cargo)
        self._small: deque[Far] = deque()
        self._large: deque[Far] = deque()
        self._wholes: deque[Whole] = deque()
        self._verify: deque[Whole] = deque()
        self._open: set[int] = set()
        self._asked = 0
        self._listed = False
        self._number = 0
        self._lost: list[tuple[str, str]] = []
        self._taken = 0
        self._working = 0
        self._locks: dict[int, Lock] = {}
        self._shelf = Shelf(cargo.target)
        self._patience = Patience()
        self._torn = 0
        self.resumed = 0

    def _waiting(self) -> int:
        return sum(far.size for far in self._small)

    def _give_up_mute(self) -> None:
        super()._give_up_mute()
        if self._patience.ended(self._moved()) and not self._over:
            self._error = UnavailableError("the helper on the machine says nothing any more", retryable=True)

    @abstractmethod
    def _settle(self) -> None:
        """Whether everything has come. The turn is held."""

    # what there is

    def _listing(self, head: bytes, body: bytes) -> None:
        (source,) = struct.unpack(">I", head)
        with self._turn:
            self._asked -= 1
            if source == END:
                self._listed = True
                return
        if source >= len(self._cargo.sources):
            raise Broken("a listing of what was not asked for")
        unpacked = zlib.decompressobj().decompress(body, wire.LARGEST)
        found = []
        for kind, mode, size, time, raw, link in wire.rows(unpacked)[0]:
            if kind == MISSING:
                self._judge.missing.append(shown(self._cargo.sources[source]))
                continue
            far = self._entry(source, kind, mode, size, time, raw, link)
            if far is not None:
                found.append(far)
        self._sort(found)
        self._progress.total(self._judge.files, self._judge.size)

    def _entry(
        self, source: int, kind: int, mode: int, size: int, time: int, raw: bytes, link: bytes
    ) -> Far | None:
        self._judge.count(raw.count(b"/"), size if kind == FILE else 0, kind == FILE)
        if kind == UNREADABLE:
            self._judge.skip(raw, "cannot be read there")
            return None
        name = self._judge.name(source, raw)
        if name is None:
            self._judge.size -= size if kind == FILE else 0
            return None
        if kind == FOLDER:
            self._shelf.folder(name)
        elif kind == FILE:
            self._judge.files += 1
            place = posixpath.dirname(posixpath.normpath(self._cargo.sources[source])).encode()
            path = place + b"/" + raw if place not in (b"", b"/") else place + raw
            return Far(path, name, size, mode & 0o777, time, link == SPARSE)
        elif kind == LINK:
            self._judge.link(name, link)
        else:
            self._judge.skip(raw, "is a special file")
        return None

    def _sort(self, found: list[Far]) -> None:
        small, large = [], []
        for far in found:
            here = self._shelf.status(far.name)
            if here is not None and same(here, far.size, far.time) and not self._whole:
                self.resumed += far.size
                self._progress.advance(far.size, far.text)
                self._progress.file_done(far.text)
            elif far.size < BIG:
                small.append(far)
            else:
                large.append(far)
        with self._turn:
            self._small.extend(small)
            self._large.extend(large)
            self._taken += sum(far.size for far in found)
            self._more_lines(self._taken)

    # asking

    def _feed_all(self) -> None:
        for stream in list(self._streams):
            self._feed(stream)

    def _feed(self, stream: Stream) -> None:
        """Ask for as much as this line may owe. Never waits long: questions are short."""
        if not self._locks[id(stream)].acquire(blocking=False):
            return
        try:
            while not self._over and not stream.dead:
                with self._turn:
                    frame = self._next(stream)
                    if frame is None:
                        self._settle()
                        return
                try:
                    stream.line.send(*frame)
                except Ended:
                    return
        finally:
            self._locks[id(stream)].release()

    def _next(self, stream: Stream) -> tuple[int, bytes, bytes] | None:
        if stream.first and not self._listed and self._asked < AHEAD and len(self._small) < BACKLOG:
            self._asked += 1
            return ord("m"), b"", b""
        if stream.flight > stream.credit // 2 or len(stream.unacked) > 16:
            return None
        self._number += 1
        if self._verify:
            return self._ask_digest(stream)
        if self._small:
            return self._ask_pack(stream)
        return self._ask_piece(stream)

    def _asking(self, stream: Stream, job: Job) -> bytes:
        job.sent_at = monotonic()
        stream.unacked[self._number] = job
        stream.flight += job.size
        stream.rate.sent()
        return struct.pack(">I", self._number)

    def _ask_pack(self, stream: Stream) -> tuple[int, bytes, bytes]:
        files: list[Far] = []
        size = 0
        while self._small and size < MIB and len(files) < PACK_FILES:
            files.append(self._small.popleft())
            size += files[-1].size
        head = self._asking(stream, Job(size, files))
        rows = [(FILE, 0, far.size, far.time, far.path, b"") for far in files]
        return ord("G"), head, zlib.compress(wire.table(rows), 1)

    def _ask_piece(self, stream: Stream) -> tuple[int, bytes, bytes] | None:
        while self._wholes:
            whole = self._wholes[0]
            if not whole.ranges:
                self._wholes.popleft()
                continue
            at, length = whole.ranges.pop()
            unit = self._unit_size()
            if length > unit:
                whole.ranges.append((at + unit, length - unit))
                length = unit
            whole.owed += 1
            self._asking(stream, Job(length, whole=whole, at=at))
            far = whole.far
            return ord("g"), PIECE.pack(self._number, at, length, far.size, far.time), far.path
        return self._begin_large(stream)

    def _unit_size(self) -> int:
        rate = sum(stream.rate.value for stream in self._streams)
        return int(min(max(rate * 0.1, MIB), 4 * MIB))

    def _begin_large(self, stream: Stream) -> tuple[int, bytes, bytes] | None:
        if not self._large:
            return None
        far = self._large.popleft()
        part = part_of(b"/".join(far.name), far.size, far.time)
        handle, there = self._shelf.part(far.name, part, far.size)
        self._open.add(handle)
        ask_first = there or far.sparse
        whole = Whole(far, part, handle, [] if ask_first else [(0, far.size)])
        self._wholes.append(whole)
        if not ask_first:
            return self._ask_piece(stream)
        whole.owed += 1
        if there:
            self._patience.grant(far.size)
        head = self._asking(stream, Job(0, whole=whole)) + NOW.pack(far.size, far.time)
        return ord("B") if there else ord("H"), head, far.path

    def _ask_digest(self, stream: Stream) -> tuple[int, bytes, bytes]:
        whole = self._verify.popleft()
        whole.owed += 1
        self._patience.grant(whole.far.size)
        return ord("V"), self._asking(stream, Job(0, whole=whole, blocks=True)), whole.far.path

"""Down: the far side is hostile. Its names are judged, its sizes not believed, its links not followed."""

from __future__ import annotations

import os
import posixpath
import struct
import zlib
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import monotonic

from attrs import define, field

from gpurent.api import Progress, Pull, Skipped, TransferError, TransferReport
from gpurent_plugin_turbo import wire
from gpurent_plugin_turbo.far import file_digest, same
from gpurent_plugin_turbo.fleet import Fleet, Stream
from gpurent_plugin_turbo.give import CHANGED, MISSING, PIECE, UNREADABLE
from gpurent_plugin_turbo.lines import Wire
from gpurent_plugin_turbo.names import objection, shown
from gpurent_plugin_turbo.pace import MIB
from gpurent_plugin_turbo.shelf import Name, Shelf, told
from gpurent_plugin_turbo.wire import FILE, FOLDER, UNIT, Broken, Codec, Ended

AHEAD = 2  # manifests that are asked for
BACKLOG = 20_000
BIG = MIB
PACK_FILES = 500
END = 0xFFFFFFFF


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


class Puller(Fleet):
    """One pull. `run` blocks; `stop` ends it from any thread."""

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
        self.resumed = 0

    def run(self) -> TransferReport:
        """Bring everything; a source that is missing is told at the end, after the others came."""
        begun = monotonic()
        for source in self._cargo.sources:
            why = objection(posixpath.basename(posixpath.normpath(source)), self._cargo.limits.name)
            if why:
                raise TransferError(f"{shown(source)} cannot be brought home: its name {why}")
        self._shelf = Shelf(self._cargo.target)
        try:
            self._add_stream()
            self._wait_for_end()
        finally:
            self._end()
            for handle in self._open:
                os.close(handle)
            self._shelf.close()
        if self._error is not None:
            raise self._error
        self._tell_lost()
        return TransferReport(
            files=self._judge.files,
            total=self._judge.size,
            sent=sum(stream.line.read_bytes for stream in self._streams),
            resumed=self.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(self._judge.skipped),
        )

    def _tell_lost(self) -> None:
        if self._lost:
            text = "; ".join(f"{name} {why}" for name, why in self._lost[:5])
            more = f" and {len(self._lost) - 5} more" if len(self._lost) > 5 else ""
            raise TransferError(f"{text}{more}", hint="Everything else has come home. Pull again.")
        if self._judge.missing:
            names = ", ".join(self._judge.missing)
            raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")

    # lines

    def _work(self, stream: Stream) -> None:
        self._locks[id(stream)] = Lock()
        self._start(self._reading, stream)

    def _busy(self) -> bool:
        return bool(self._small or self._wholes)

    def _moved(self) -> int:
        return sum(stream.line.read_bytes for stream in self._streams)

    def _reading(self, stream: Stream) -> None:
        codec = Codec()
        try:
            self._feed(stream)
            while not self._over:
                kind, head, size = stream.line.header()
                with self._turn:
                    self._working += 1
                try:
                    self._take(stream, kind, head, size, codec)
                finally:
                    with self._turn:
                        self._working -= 1
                self._feed_all()
        except Ended:
            self._line_ended(stream)
        except (Broken, LookupError, struct.error, zlib.error, ValueError) as error:
            raise TransferError(f"the machine's helper says what it may not say: {error}") from None

    def _take(self, stream: Stream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        if kind == ord("O"):
            stream.line.take(size)
            stream.greeted = True
        elif kind == ord("M") and stream.first:
            self._listing(head, bytes(stream.line.take(size)))
        elif kind in (ord("P"), ord("S")):
            self._unit(stream, kind, head, size, codec)
        elif kind == ord("c"):
            self._changed(stream, head)
        elif kind == ord("b"):
            self._blocks(stream, head, bytes(stream.line.take(size)))
        elif kind == ord("v"):
            self._verified(stream, head, bytes(stream.line.take(size)))
        else:
            raise Broken(f"a frame of kind {kind}")

    def _line_ended(self, stream: Stream) -> None:
        with self._turn:
            if self._over or stream.dead:
                return
            stream.dead = True
            if not stream.first:
                for job in stream.unacked.values():
                    self._give_back(job)
                stream.unacked.clear()
                self._turn.notify_all()
        if stream.first:
            raise stream.wire.why()
        self._feed_all()

    def _give_back(self, job: Job) -> None:
        """What another line was to bring is to be asked for again. The turn is held."""
        self._small.extend(job.files)
        if job.whole is None:
            return
        job.whole.owed -= 1
        if job.blocks:
            self._verify.append(job.whole)
        elif job.size:
            job.whole.ranges.append((job.at, job.size))
            if job.whole not in self._wholes:
                self._wholes.append(job.whole)

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
        for kind, mode, size, time, raw, _ in wire.rows(unpacked)[0]:
            if kind == MISSING:
                self._judge.missing.append(shown(self._cargo.sources[source]))
                continue
            far = self._entry(source, kind, mode, size, time, raw)
            if far is not None:
                found.append(far)
        self._sort(found)
        self._progress.total(self._judge.files, self._judge.size)

    def _entry(self, source: int, kind: int, mode: int, size: int, time: int, raw: bytes) -> Far | None:
        self._judge.count(raw.count(b"/"), size if kind == FILE else 0)
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
            return Far(path, name, size, mode & 0o777, time)
        else:
            self._judge.skip(raw, "is a link or a special file")
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
        if stream.flight > stream.rate.credit // 2 or len(stream.unacked) > 16:
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
        part = wire.part_of(b"/".join(far.name), far.size, far.time)
        handle, there = self._shelf.part(far.name, part, far.size)
        self._open.add(handle)
        whole = Whole(far, part, handle, [] if there else [(0, far.size)])
        self._wholes.append(whole)
        if not there:
            return self._ask_piece(stream)
        whole.owed += 1
        head = self._asking(stream, Job(0, whole=whole))
        return ord("B"), head + struct.pack(">Q", far.size), far.path

    def _ask_digest(self, stream: Stream) -> tuple[int, bytes, bytes]:
        whole = self._verify.popleft()
        whole.owed += 1
        return ord("V"), self._asking(stream, Job(0, whole=whole, blocks=True)), whole.far.path

    # what comes

    def _job(self, stream: Stream, number: int) -> Job:
        with self._turn:
            job: Job | None = stream.unacked.pop(number, None)
            if job is None:
                raise Broken("an answer to nothing")
            stream.flight -= job.size
            stream.rate.acked(job.size, job.sent_at, not stream.unacked)
            return job

    def _unit(self, stream: Stream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        number, used, digest, length, expected = UNIT.unpack(head)
        job = stream.unacked.get(number)
        if job is None or (kind == ord("P")) != bool(job.files):
            raise Broken("an answer to nothing")
        if length > job.size + (4 + 21 * len(job.files) if job.files else 0):
            raise Broken("more than was asked for")
        if self._limit:
            self._slow_down(size)
        data = memoryview(codec.unpack(used, stream.line.take(size), length))
        if wire.digest(digest, data) != expected:
            raise TransferError("what came is not what was sent", hint="Pull again; it goes on.")
        if job.files:
            self._files(job, data)
        elif job.whole is not None:
            if length != job.size:
                raise Broken("less than was asked for")
            self._shelf.write(job.whole.far.name, job.whole.handle, data, job.at)
            self._progress.advance(length, job.whole.far.text)
        self._job(stream, number)
        if job.whole is not None:
            self._came(job.whole)

    def _slow_down(self, size: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._over, size * len(self._streams) / self._limit)

    def _files(self, job: Job, data: memoryview) -> None:
        rows, at = wire.rows(data)
        if len(rows) != len(job.files):
            raise Broken("another number of files than was asked for")
        for far, (state, mode, size, time, _, _) in zip(job.files, rows, strict=True):
            if state == CHANGED:
                self._once_more(far, size, time)
                continue
            if size != far.size or at + size > len(data):
                raise Broken("another size than was asked for")
            self._shelf.small(far.name, data[at : at + size], mode & 0o777, far.time)
            at += size
            self._progress.advance(size, far.text)
            self._progress.file_done(far.text)

    def _once_more(self, far: Far, size: int, time: int) -> None:
        """It is another file by now: asked for once more as it is."""
        with self._turn:
            far.tries += 1
            if far.tries > 1 or not time or size > BIG:
                self._lost.append((far.text, "changed or vanished while it was read"))
                return
            far.size, far.time = size, time
            self._small.append(far)

    def _changed(self, stream: Stream, head: bytes) -> None:
        job = self._job(stream, struct.unpack(">I", head)[0])
        if job.whole is None:
            raise Broken("an answer to nothing")
        whole = job.whole
        with self._turn:
            whole.owed -= 1
            if whole.digest != b"lost":
                whole.digest = b"lost"
                whole.ranges.clear()
                self._lost.append((whole.far.text, "changed or vanished while it was read"))
                self._shelf.drop(whole.part)

    def _blocks(self, stream: Stream, head: bytes, theirs: bytes) -> None:
        number, kind = struct.unpack(">IB", head)
        job = self._job(stream, number)
        whole = job.whole
        if whole is None:
            raise Broken("an answer to nothing")
        size, step = whole.far.size, wire.block_size(whole.far.size)
        mine = wire.block_digests(whole.handle, size, kind)
        kept = 0
        ranges: list[tuple[int, int]] = []
        for index, at in enumerate(range(0, size, step)):
            length = min(step, size - at)
            if mine[index * 16 : index * 16 + 16] == theirs[index * 16 : index * 16 + 16]:
                kept += length
            elif ranges and sum(ranges[-1]) == at:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
            else:
                ranges.append((at, length))
        with self._turn:
            self.resumed += kept
            self._progress.advance(kept, whole.far.text)
            whole.ranges = list(reversed(ranges))
            if ranges and whole not in self._wholes:
                self._wholes.append(whole)
        self._came(whole)

    def _came(self, whole: Whole) -> None:
        """One answer less is owed; the last one settles the file."""
        with self._turn:
            whole.owed -= 1
            if whole.owed or whole.ranges or whole.digest:
                return
            if self._whole:
                whole.digest = b"asked"
                self._verify.append(whole)
                return
            whole.digest = b"done"
        self._complete(whole)

    def _verified(self, stream: Stream, head: bytes, theirs: bytes) -> None:
        whole = self._job(stream, struct.unpack(">I", head)[0]).whole
        if whole is None:
            raise Broken("an answer to nothing")
        if file_digest(whole.handle) != theirs:
            self._shelf.drop(whole.part)
            with self._turn:
                self._lost.append((whole.far.text, "did not arrive as it is there"))
            return
        self._complete(whole)

    def _complete(self, whole: Whole) -> None:
        far = whole.far
        self._shelf.settle(far.name, whole.part, whole.handle, far.mode, far.time)
        with self._turn:
            self._open.discard(whole.handle)
        os.close(whole.handle)
        self._progress.file_done(far.text)

    def _settle(self) -> None:
        """Whether everything has come. The turn is held."""
        if (
            self._listed
            and not self._small
            and not self._large
            and not self._verify
            and not self._working
            and not any(whole.ranges or whole.owed for whole in self._wholes)
            and not any(stream.unacked for stream in self._streams)
        ):
            self._finished = True
            self._turn.notify_all()

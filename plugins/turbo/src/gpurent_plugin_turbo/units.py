"""What travels at once: packs of small files, pieces of large ones; read, digested and compressed here."""

from __future__ import annotations

import os
import stat
import struct
from hashlib import sha256
from threading import local
from time import monotonic

from attrs import define, evolve, field, frozen

from gpurent_plugin_turbo import wire
from gpurent_plugin_turbo.far import COMMIT, SEGMENT
from gpurent_plugin_turbo.names import shown
from gpurent_plugin_turbo.pace import Level
from gpurent_plugin_turbo.scan import Entry
from gpurent_plugin_turbo.wire import RAW, UNIT, ZLIB, Codec

SAMPLE = 1 << 15
WORTH = 0.95  # what does not shrink below this travels as it is
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@define(eq=False)
class Pack:
    """Small files that travel as one."""

    entries: list[Entry]
    tries: int = 0

    @property
    def title(self) -> str:
        return shown(self.entries[0].name.decode("utf-8", "surrogateescape"))


@define(eq=False)
class Big:
    """A large file on its way. ``ranges`` are what is still to be cut into pieces; ``left`` what no line has yet."""

    number: int
    entry: Entry
    tried: bool = False
    handle: int = -1
    ranges: list[tuple[int, int]] = field(factory=list)
    left: int = 0
    foreign: int = 0
    planned: bool = False
    trouble: str = ""

    @property
    def part(self) -> bytes:
        return wire.part_of(self.entry.name, self.entry.size, self.entry.time)

    def plan(self, theirs: bytes | None, builder: Builder | None = None) -> int:
        """What is to be sent, as blocks that differ or as data without holes; the bytes that are there already."""
        self._open()
        size, kept = self.entry.size, 0
        if not theirs or builder is None or self.handle < 0:
            self.ranges = list(reversed(_data(self.handle, size)))
        else:
            kept = self._compare(theirs, builder.digest_kind)
        self.left = 0
        self.planned = True
        return kept

    def _compare(self, theirs: bytes, kind: int) -> int:
        size, kept = self.entry.size, 0
        mine, step = wire.block_digests(self.handle, size, kind), wire.block_size(size)
        for index, at in enumerate(range(0, size, step)):
            length = min(step, size - at)
            if mine[index * 16 : index * 16 + 16] == theirs[index * 16 : index * 16 + 16]:
                kept += length
            elif self.ranges and sum(self.ranges[-1]) == at:
                self.ranges[-1] = (self.ranges[-1][0], self.ranges[-1][1] + length)
            else:
                self.ranges.append((at, length))
        self.ranges.reverse()
        return kept

    def _open(self) -> None:
        try:
            self.handle = os.open(self.entry.path, _OPEN)
            self.trouble = self._moved(os.fstat(self.handle))
        except OSError as error:
            self.trouble = f"vanished or cannot be read: {error.strerror}"

    def _moved(self, now: os.stat_result) -> str:
        if (now.st_size, now.st_mtime_ns) != (self.entry.size, self.entry.time):
            return "changed while it was read"
        return ""

    def next_piece(self, size: int) -> Piece | None:
        """The next piece of at most ``size`` bytes; None: all are cut."""
        if self.trouble:
            self.ranges.clear()
        if not self.ranges:
            return None
        at, length = self.ranges.pop()
        if length > size:
            self.ranges.append((at + size, length - size))
            length = size
        self.left += 1
        return Piece(self, at, length)

    def due(self) -> bool:
        """Every piece is on the first line or was acknowledged by another."""
        return self.planned and not self.ranges and not self.left and not self.foreign

    def changed(self) -> str:
        """Why what was read is not one file as it once was."""
        try:
            if not self.trouble:
                self.trouble = self._moved(os.fstat(self.handle)) or self._moved(os.lstat(self.entry.path))
        except OSError as error:
            self.trouble = f"vanished while it was read: {error.strerror}"
        return self.trouble

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def again(self) -> Big | None:
        """The same name as it is now, once; None: it was tried twice, or is no file any more."""
        try:
            now = os.lstat(self.entry.path)
        except OSError:
            return None
        if self.tried or not stat.S_ISREG(now.st_mode):
            return None
        entry = evolve(self.entry, size=now.st_size, time=now.st_mtime_ns, mode=stat.S_IMODE(now.st_mode))
        return Big(0, entry, tried=True)

    def commit_head(self, whole: bool) -> bytes:
        entry = self.entry
        expected = _whole_digest(self.handle) if whole else b""
        head = COMMIT.pack(self.part, entry.mode, entry.size, entry.time, 1 if whole else 0)
        return struct.pack(">I", self.number) + head + expected


@define(eq=False)
class Piece:
    """A piece of a large file."""

    big: Big
    at: int
    size: int
    tries: int = 0

    @property
    def title(self) -> str:
        return shown(self.big.entry.name.decode("utf-8", "surrogateescape"))


@frozen
class FileRange:
    """Bytes of an open file that no buffer holds."""

    handle: int
    at: int
    size: int

    def __len__(self) -> int:
        return self.size


@define(eq=False)
class Unit:
    """Ready for a line."""

    task: Pack | Piece
    codec: int
    kind_of_digest: int
    raw_size: int
    digest: bytes
    body: tuple[bytes | memoryview | FileRange, ...]
    wire_size: int
    number: int = 0
    on_first: bool = False
    level: int = 0
    raw: bytes | memoryview | None = None  # kept while it may be pressed harder
    sent_at: float = 0.0

    @property
    def kind(self) -> int:
        return ord("P") if isinstance(self.task, Pack) else ord("S")

    @property
    def head(self) -> bytes:
        head = UNIT.pack(self.number, self.codec, self.kind_of_digest, self.raw_size, self.digest)
        if isinstance(self.task, Piece):
            big = self.task.big
            head += SEGMENT.pack(big.part, self.task.at, big.entry.size)
        return head

    def mark_sent(self, first: bool) -> None:
        self.on_first = first
        if isinstance(self.task, Piece):
            self.task.big.left -= 1
            self.task.big.foreign += not first

    def mark_acked(self) -> None:
        if isinstance(self.task, Piece):
            self.task.big.foreign -= not self.on_first

    def unmark(self) -> None:
        """It must travel again."""
        if isinstance(self.task, Piece):
            self.task.big.foreign -= not self.on_first
            self.task.big.left += 1


class Builder:
    """Makes units; several threads at once, each with its own codec."""

    def __init__(self, level: Level, whole: bool) -> None:
        self._level, self._whole = level, whole
        self.plain_digest = False
        self._local = local()
        self._codec = wire.BEST_CODEC

    @property
    def digest_kind(self) -> int:
        return wire.BLAKE if self.plain_digest else wire.BEST_DIGEST

    def plain(self) -> None:
        """The far side lacks a library: what every Python has, from now on."""
        self.plain_digest = True
        self._codec = ZLIB

    def build(self, task: Pack | Piece, codec: Codec) -> tuple[Unit | None, list[tuple[bytes, str]]]:
        """The unit, None when nothing of it can be read; and what cannot be, with the reason."""
        if isinstance(task, Piece):
            return self._piece(task, codec), []
        return self._pack(task, codec)

    def _piece(self, task: Piece, codec: Codec) -> Unit:
        if not self._level.now or not self._piece_shrinks(task, codec):
            return self._raw_piece(task)
        data = bytearray(task.size)
        view, done = memoryview(data), 0
        while done < task.size:
            got = os.preadv(task.big.handle, [view[done:]], task.at + done)
            if not got:
                task.big.trouble = "changed while it was read"
                break
            done += got
        return self._unit(task, view, codec)

    def _raw_piece(self, task: Piece) -> Unit:
        """Only looked at here; the kernel moves it from the file to the line."""
        made = wire.digester(self.digest_kind)
        buffer = self._buffer()
        done = 0
        while done < task.size:
            view = buffer[: min(len(buffer), task.size - done)]
            got = os.preadv(task.big.handle, [view], task.at + done)
            if not got:
                task.big.trouble = "changed while it was read"
                break
            made.update(view[:got])
            done += got
        body = FileRange(task.big.handle, task.at, task.size)
        return Unit(task, RAW, self.digest_kind, task.size, made.digest(), (body,), task.size)

    def _buffer(self) -> memoryview:
        found: memoryview | None = getattr(self._local, "buffer", None)
        if found is None:
            found = self._local.buffer = memoryview(bytearray(wire.STEP))
        return found

    def _piece_shrinks(self, task: Piece, codec: Codec) -> bool:
        middle = task.at + task.size // 2
        sample = os.pread(task.big.handle, min(SAMPLE, task.size), middle)
        return len(codec.compress(self._codec, 1, sample)) < WORTH * len(sample)

    def _pack(self, task: Pack, codec: Codec) -> tuple[Unit | None, list[tuple[bytes, str]]]:
        rows, pieces, lost, good = [], [], [], []
        for entry in task.entries:
            try:
                data, now = _read(entry)
            except OSError as error:
                lost.append((entry.name, f"vanished or cannot be read: {error.strerror}"))
                continue
            except _Moving:
                lost.append((entry.name, "changed while it was read"))
                continue
            good.append(entry)
            rows.append((entry.kind, stat.S_IMODE(now.st_mode), len(data), now.st_mtime_ns, entry.name, b""))
            pieces.append(data)
        if not good:
            return None, lost
        task.entries = good
        return self._unit(task, b"".join((wire.table(rows), *pieces)), codec), lost

    def _unit(self, task: Pack | Piece, data: bytes | memoryview, codec: Codec) -> Unit:
        kind = self.digest_kind
        found = wire.digest(kind, data)
        unit = Unit(task, RAW, kind, len(data), found, (data,), len(data))
        if self._level.now and self._shrinks(data, codec):
            self._press(unit, data, self._level.now, codec)
            unit.raw = data
        return unit

    def _press(self, unit: Unit, data: bytes | memoryview, level: int, codec: Codec) -> None:
        begun = monotonic()
        tight = codec.compress(self._codec, level, data)
        self._level.pressed(level, len(data), len(tight), monotonic() - begun)
        if len(tight) < WORTH * len(data):
            unit.codec, unit.body, unit.wire_size, unit.level = self._codec, (tight,), len(tight), level

    def polish(self, unit: Unit, codec: Codec) -> None:
        """Press it harder: nothing can be sent yet anyway."""
        if unit.raw is not None:
            self._press(unit, unit.raw, self._level.patient, codec)

    def _shrinks(self, data: bytes | memoryview, codec: Codec) -> bool:
        """A look at the middle tells, at little cost, whether compressing is worth its time."""
        if len(data) < 4 * SAMPLE:
            return True
        middle = len(data) // 2
        sample = bytes(data[middle : middle + SAMPLE])
        return len(codec.compress(self._codec, 1, sample)) < WORTH * SAMPLE

    def whole_digest(self, path: bytes) -> bytes:
        try:
            handle = os.open(path, _OPEN)
        except OSError:
            return b""
        try:
            return _whole_digest(handle)
        finally:
            os.close(handle)


class _Moving(Exception):
    """A file changes faster than it can be read."""


def _read(entry: Entry) -> tuple[bytes, os.stat_result]:
    """A small file as it was at one moment; once more when it changed under our hands."""
    for last in (False, True):
        try:
            handle = os.open(entry.path, _OPEN)
        except OSError:
            if last:
                raise
            continue
        try:
            before = os.fstat(handle)
            data = os.read(handle, before.st_size + 1)
            while len(data) < before.st_size and (more := os.read(handle, before.st_size + 1 - len(data))):
                data += more
            after = os.fstat(handle)
        finally:
            os.close(handle)
        if len(data) == before.st_size and _state(before) == _state(after):
            return data, after
    raise _Moving


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _data(handle: int, size: int) -> list[tuple[int, int]]:
    """Where a file has data and no holes."""
    found, at = [], 0
    if handle < 0:
        return []
    while at < size:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
            end = min(os.lseek(handle, start, os.SEEK_HOLE), size)
        except OSError:
            break
        found.append((start, end - start))
        at = end
    return found


def _whole_digest(handle: int) -> bytes:
    made, at = sha256(), 0
    while data := os.pread(handle, 1 << 20, at):
        made.update(data)
        at += len(data)
    return made.digest()[:16]

"""What travels at once: packs of small files, pieces of large ones."""

from __future__ import annotations

import os
import stat
import struct

from gpurent_plugin_turbo.near.errors import told
from gpurent_plugin_turbo.near.push.scan import Entry
from gpurent_plugin_turbo.shared.files import block_digests, block_size, part_of
from gpurent_plugin_turbo.shared.push_frames import COMMIT, SEGMENT
from gpurent_plugin_turbo.shared.wire import UNIT

SAMPLE = 1 << 15
WORTH = 0.95  # what does not shrink below this travels as it is
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Pack:
    """Small files that travel as one."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries, self.tries = entries, 0
        self.size = sum(entry.size for entry in entries)

    @property
    def title(self) -> str:
        return told(self.entries[0].name)


class Big:
    """A large file on its way. ``ranges`` are what is still to be cut into pieces; ``left`` what no line has yet."""

    def __init__(self, number: int, entry: Entry, tried: bool = False) -> None:
        self.number, self.entry, self.tried = number, entry, tried
        self.handle = -1
        self.ranges: list[tuple[int, int]] = []
        self.left = self.foreign = 0
        self.planned = False
        self.trouble = ""

    @property
    def part(self) -> bytes:
        return part_of(self.entry.name, self.entry.size, self.entry.time)

    def plan(self, theirs: bytes | None, digest_kind: int = 0) -> int:
        """What is to be sent, as blocks that differ or as data without holes; the bytes that are there already."""
        self._open()
        size, kept = self.entry.size, 0
        if not theirs or self.handle < 0:
            self.ranges = [] if self.trouble else list(reversed(_data(self.handle, size)))
        else:
            kept = self._compare(theirs, digest_kind)
        self.left = 0
        self.planned = True
        return kept

    def _compare(self, theirs: bytes, kind: int) -> int:
        size, kept = self.entry.size, 0
        mine, step = block_digests(self.handle, size, kind), block_size(size)
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
            self.handle = os.open(self.entry.path, OPEN)
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
        old, mode = self.entry, stat.S_IMODE(now.st_mode)
        entry = Entry(old.kind, mode, now.st_size, now.st_mtime_ns, old.name, old.link, old.path)
        return Big(0, entry, tried=True)

    def commit_head(self, whole: bool) -> bytes:
        entry = self.entry
        expected = whole_digest(self.handle) if whole else b""
        head = COMMIT.pack(self.part, entry.mode, entry.size, entry.time, 1 if whole else 0)
        return struct.pack(">I", self.number) + head + expected


class Piece:
    """A piece of a large file."""

    def __init__(self, big: Big, at: int, size: int) -> None:
        self.big, self.at, self.size, self.tries = big, at, size, 0

    @property
    def title(self) -> str:
        return told(self.big.entry.name)


class FileRange:
    """Bytes of an open file that no buffer holds."""

    def __init__(self, handle: int, at: int, size: int) -> None:
        self.handle, self.at, self.size = handle, at, size

    def __len__(self) -> int:
        return self.size


class Unit:
    """Ready for a line."""

    def __init__(
        self,
        task: Pack | Piece,
        codec: int,
        kind_of_digest: int,
        raw_size: int,
        digest: bytes,
        body: tuple[bytes | memoryview | FileRange, ...],
        wire_size: int,
    ) -> None:
        self.task, self.codec, self.kind_of_digest = task, codec, kind_of_digest
        self.raw_size, self.digest, self.body, self.wire_size = raw_size, digest, body, wire_size
        self.number = self.level = 0
        self.on_first = False
        self.raw: bytes | memoryview | None = None  # kept while it may be pressed harder
        self.buffer: bytearray | None = None  # what `body` or `raw` look into
        self.sent_at = 0.0

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


def whole_digest(handle: int) -> bytes:
    from hashlib import sha256

    made, at = sha256(), 0
    while data := os.pread(handle, 1 << 20, at):
        made.update(data)
        at += len(data)
    return made.digest()[:16]

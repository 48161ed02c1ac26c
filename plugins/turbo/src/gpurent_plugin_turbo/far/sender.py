"""The far side of a pull: tells what there is and gives what is asked for.

Travels as source behind `wire` and `far`: Python 3.6, the standard library, no future annotations.
"""

import errno
import os
import stat
import struct
import sys
import time as clock
import zlib

from gpurent_plugin_turbo.shared.codec import (
    BEST_CODEC,
    BEST_DIGEST,
    RAW,
    Codec,
    compute_digest,
    new_digest,
)
from gpurent_plugin_turbo.shared.errors import Ended
from gpurent_plugin_turbo.shared.files import block_digests, file_digest
from gpurent_plugin_turbo.shared.pull_frames import (
    CHANGED,
    EXTENT,
    EXTENTS,
    GOOD,
    MISSING,
    NOW,
    OTHER,
    PIECE,
    SPARSE,
    UNREADABLE,
)
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK, STEP, UNIT, Line, rows, table

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = tuple[int, int, int, int, bytes, bytes]

LADDER = (0, 1, 3, 5, 7, 9)
ROWS = 2048
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # what became a pipe does not hold us up


class Giver:
    """Answers one frame after the other."""

    def __init__(self, line: Line, sources: "list[bytes]") -> None:
        self.line, self.codec = line, Codec()
        self.digest = BEST_DIGEST
        self.press = BEST_CODEC
        self.step = 2
        self.chunks = self.scan(sources)

    def serve(self) -> None:
        doing = {
            ord("m"): self.more,
            ord("G"): self.pack,
            ord("g"): self.piece,
            ord("B"): self.blocks,
            ord("H"): self.holes,
            ord("V"): self.whole,
        }
        while True:
            try:
                kind, head, size = self.line.header()
                doing[kind](head, bytes(self.line.take(size)) if size else b"")
            except Ended:
                return

    # what there is

    def more(self, head: bytes, body: bytes) -> None:
        for number, chunk in self.chunks:
            self.line.send(ord("M"), struct.pack(">I", number), zlib.compress(table(chunk), 1))
            return
        self.line.send(ord("M"), struct.pack(">I", 0xFFFFFFFF))

    def scan(self, sources: "list[bytes]") -> "Iterator[tuple[int, list[Row]]]":
        for number, source in enumerate(sources):
            chunk = []
            for row in self.source(source):
                chunk.append(row)
                if len(chunk) >= ROWS:
                    yield number, chunk
                    chunk = []
            if chunk:
                yield number, chunk

    def source(self, path: bytes) -> "Iterator[Row]":
        name = os.path.basename(os.path.normpath(path))
        try:
            found = os.lstat(path)
        except OSError:
            yield (MISSING, 0, 0, 0, path, b"")
            return
        for row in self.one(path, name, found):
            yield row

    def one(self, path: bytes, name: bytes, found: os.stat_result) -> "Iterator[Row]":
        mode, time = stat.S_IMODE(found.st_mode) & 0o777, found.st_mtime_ns
        if stat.S_ISREG(found.st_mode):
            sparse = found.st_blocks * 512 < found.st_size
            yield (FILE, mode, found.st_size, time, name, SPARSE if sparse else b"")
        elif stat.S_ISDIR(found.st_mode):
            yield (FOLDER, mode, 0, time, name, b"")
            for row in self.folder(path, name):
                yield row
        elif stat.S_ISLNK(found.st_mode):
            yield (LINK, mode, 0, 0, name, os.readlink(path))
        else:
            yield (OTHER, mode, 0, 0, name, b"")

    def folder(self, path: bytes, name: bytes) -> "Iterator[Row]":
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            yield (UNREADABLE, 0, 0, 0, name + b"/", b"")
            return
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            for row in self.one(entry.path, name + b"/" + entry.name, found):
                yield row

    # what is asked for

    def pack(self, head: bytes, body: bytes) -> None:
        told, pieces = [], []
        for _, _, size, time, name, _ in rows(zlib.decompress(body))[0]:
            data, found = self.small(name, size, time)
            told.append((*found, b"", b""))
            pieces.append(data)
        self.answer(ord("P"), head, b"".join((table(told), *pieces)))

    def small(self, name: bytes, size: int, time: int) -> "tuple[bytes, tuple[int, int, int, int]]":
        """Its bytes, if it is what it was; else what it is now."""
        try:
            handle = os.open(name, READ)
        except OSError as error:
            return b"", (CHANGED, error.errno or 0, 0, 0)
        try:
            before = os.fstat(handle)
            if (before.st_size, before.st_mtime_ns) != (size, time):
                return b"", (CHANGED, stat.S_IMODE(before.st_mode), before.st_size, before.st_mtime_ns)
            data = os.read(handle, size + 1)
            while len(data) < size:
                more = os.read(handle, size - len(data))
                if not more:
                    break
                data += more
            after = os.fstat(handle)
        finally:
            os.close(handle)
        if len(data) != size or (after.st_size, after.st_mtime_ns) != (size, time):
            return b"", (CHANGED, 0, after.st_size, after.st_mtime_ns)
        return data, (GOOD, stat.S_IMODE(after.st_mode), size, time)

    def piece(self, head: bytes, name: bytes) -> None:
        _, at, length, size, time = PIECE.unpack(head)
        try:
            handle = os.open(name, READ)
        except OSError as error:
            self.line.send(ord("c"), head[:4], NOW.pack(error.errno or 0, 0))
            return
        try:
            if self.level() and self.shrinks(handle, at, length):
                data = b""
                while len(data) < length:
                    more = os.pread(handle, length - len(data), at + len(data))
                    if not more:
                        break
                    data = data + more if data else more
                if self.still(handle, size, time) and len(data) == length:
                    self.answer(ord("S"), head[:4], data)
                    return
            elif self.raw(handle, head[:4], at, length, size, time):
                return
            now = os.fstat(handle)
            self.line.send(ord("c"), head[:4], NOW.pack(now.st_size, now.st_mtime_ns))
        finally:
            os.close(handle)

    def still(self, handle: int, size: int, time: int) -> bool:
        now = os.fstat(handle)
        return (now.st_size, now.st_mtime_ns) == (size, time)

    def shrinks(self, handle: int, at: int, length: int) -> bool:
        sample = os.pread(handle, min(1 << 15, length), at + length // 2)
        return len(self.codec.compress(self.press, 1, sample)) < 0.95 * len(sample)

    def raw(self, handle: int, number: bytes, at: int, length: int, size: int, time: int) -> bool:
        made, done = new_digest(self.digest), 0
        while done < length:
            data = os.pread(handle, min(STEP, length - done), at + done)
            if not data:
                return False
            made.update(data)
            done += len(data)
        if not self.still(handle, size, time):
            return False
        head = UNIT.pack(struct.unpack(">I", number)[0], RAW, self.digest, length, made.digest())
        begun = clock.time()
        self.line.announce(ord("S"), head, length)
        self.line.move(handle, at, length)
        self.learn(0.0, clock.time() - begun)
        return True

    def answer(self, kind: int, number: bytes, data: bytes) -> None:
        begun = clock.time()
        found, used = compute_digest(self.digest, data), RAW
        body: bytes | memoryview = data
        if self.level():
            tight = self.codec.compress(self.press, self.level(), data)
            if len(tight) < 0.95 * len(data):
                used, body = self.press, tight  # sent before anything else is pressed
        middle = clock.time()
        head = UNIT.pack(struct.unpack(">I", number)[0], used, self.digest, len(data), found)
        self.line.send(kind, head, body)
        if used != RAW or not self.level():
            self.learn(middle - begun, clock.time() - middle)

    def level(self) -> int:
        return LADDER[self.step]

    def learn(self, pressed: float, waited: float) -> None:
        """Press harder while the line is what we wait for."""
        if waited > pressed + 0.002:
            self.step = min(self.step + 1, len(LADDER) - 1)
        elif waited < pressed / 3:
            self.step = max(self.step - 1, 0)

    def blocks(self, head: bytes, name: bytes) -> None:
        size, time = NOW.unpack(head[4:])
        try:
            handle = os.open(name, READ)
            try:
                found = block_digests(handle, size, self.digest)
                now = os.fstat(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self.line.send(ord("c"), head[:4], NOW.pack(error.errno or 0, 0))
            return
        if (now.st_size, now.st_mtime_ns) != (size, time):
            self.line.send(ord("c"), head[:4], NOW.pack(now.st_size, now.st_mtime_ns))
            return
        self.line.send(ord("b"), head[:4] + struct.pack(">B", self.digest), found)

    def holes(self, head: bytes, name: bytes) -> None:
        """Where there is data in a sparse file."""
        size, time = NOW.unpack(head[4:])
        try:
            handle = os.open(name, READ)
            try:
                found = extents(handle, size)
                now = os.fstat(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self.line.send(ord("c"), head[:4], NOW.pack(error.errno or 0, 0))
            return
        if (now.st_size, now.st_mtime_ns) != (size, time):
            self.line.send(ord("c"), head[:4], NOW.pack(now.st_size, now.st_mtime_ns))
            return
        self.line.send(ord("h"), head[:4], b"".join(EXTENT.pack(*extent) for extent in found))

    def whole(self, head: bytes, name: bytes) -> None:
        try:
            with open(name, "rb") as file:
                found = file_digest(file.fileno())
        except OSError:
            found = bytes(16)
        self.line.send(ord("v"), head, found)


def extents(handle: int, size: int) -> "list[tuple[int, int]]":
    """Offset and length of what is no hole; the last takes all of the rest where there are too many."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size and len(found) < EXTENTS:
        try:
            at = os.lseek(handle, at, os.SEEK_DATA)
            end = min(os.lseek(handle, at, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data any more
                return found
            end = size
        found.append((at, end - at))
        at = end
    if at < size:
        found.append((at, size - at))
    return found


def give_pull(sources: "list[bytes]") -> None:
    """What the exec command calls."""
    line = Line(0, 1)
    try:
        line.send(ord("O"), sys.version.split()[0].encode())
        Giver(line, sources).serve()
    except Ended:
        pass

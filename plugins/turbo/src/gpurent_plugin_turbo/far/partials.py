"""The far side's large files: partials that grow in any order, compared by blocks, named when they are complete.

Travels as source behind `wire`: Python 3.6, the standard library, no future annotations.
"""

import errno
import os
import struct

from gpurent_plugin_turbo.far.disk import failed
from gpurent_plugin_turbo.shared.codec import RAW, Codec, compute_digest, new_digest
from gpurent_plugin_turbo.shared.errors import Broken
from gpurent_plugin_turbo.shared.files import block_digests, file_digest, write_at
from gpurent_plugin_turbo.shared.push_frames import ACK, BAD_DIGEST, COMMIT, DONE, NO_LIBRARY, SEGMENT
from gpurent_plugin_turbo.shared.wire import PARTS, STEP, UNIT, Line, table

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpurent_plugin_turbo.far.workers import Crew

    Row = tuple[int, int, int, int, bytes, bytes]

FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Failure(Exception):
    """An end for all: an error number and the name that met it."""

    def __init__(self, number: int, name: bytes) -> None:
        Exception.__init__(self, number, name)
        self.number, self.name = number, name


class Partials:
    """In the room for partials below the current folder; ``crew`` guards the line that all speak on."""

    def __init__(self, line: Line, crew: "Crew") -> None:
        self.line, self.codec, self.crew = line, Codec(), crew
        self.handles: dict[bytes, int] = {}
        self.room = False

    def make_room(self) -> None:
        if not self.room:
            self.room = True
            try:
                os.mkdir(PARTS, 0o700)
            except FileExistsError:
                pass

    def opened(self, part: bytes, flags: int, mode: int) -> int:
        """A new file in the room; another line that has ended may have taken the empty room away just now."""
        for _ in range(9):
            try:
                return os.open(part, flags, mode)
            except FileNotFoundError:
                self.room = False
                self.make_room()
        return os.open(part, flags, mode)

    def handle(self, part: bytes, size: int) -> int:
        found = self.handles.get(part)
        if found is None:
            self.make_room()
            while len(self.handles) > 8:
                os.close(self.handles.pop(next(iter(self.handles))))
            found = self.opened(PARTS + b"/" + part, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(found).st_size != size:
                os.ftruncate(found, size)
            self.handles[part] = found
        return found

    def segment(self, head: bytes, size: int) -> None:
        number, codec, kind, length, expected = UNIT.unpack(head[: UNIT.size])
        part, at, total = SEGMENT.unpack(head[UNIT.size :])
        handle = self.handle(part, total)
        if codec == RAW:
            good = self.stream(handle, at, size, kind) == expected
            self.ack(number, DONE if good else BAD_DIGEST)
            return
        body = self.line.borrow(size)
        try:
            data = memoryview(self.codec.unpack(codec, body, length))
        except LookupError:
            self.ack(number, NO_LIBRARY)
            return
        except Broken:
            self.ack(number, BAD_DIGEST)
            return
        write_at(handle, data, at)
        self.ack(number, DONE if compute_digest(kind, data) == expected else BAD_DIGEST)

    def stream(self, handle: int, at: int, size: int, kind: int) -> bytes:
        """From the line to the disk in steps that fit a processor's cache."""
        made = new_digest(kind)
        while size:
            view = self.line.borrow(min(STEP, size))
            made.update(view)
            write_at(handle, view, at)
            at += len(view)
            size -= len(view)
        return bytes(made.digest())

    def base(self, head: bytes, size: int) -> None:
        """Digests of what there is of a file: of its partial, else of its older self, which becomes the partial."""
        number, length, part, kind = struct.unpack(">IQ33sB", head)
        name = bytes(self.line.take(size))
        found = b""
        try:
            if not os.path.exists(PARTS + b"/" + part):
                self.copy(name, part, length)
            found = block_digests(self.handle(part, length), length, kind)
        except OSError as error:
            if error.errno in FATAL:
                raise
        self.say("b", struct.pack(">I", number), found)

    def copy(self, name: bytes, part: bytes, length: int) -> None:
        with open(name, "rb") as old:
            new = self.handle(part, length)
            at, left = 0, min(length, os.fstat(old.fileno()).st_size)
            while left:
                data = old.read(min(left, 1 << 20))
                if not data:
                    return
                write_at(new, memoryview(data), at)
                at += len(data)
                left -= len(data)

    def commit(self, head: bytes, size: int) -> None:
        (number,) = struct.unpack(">I", head[:4])
        part, mode, length, time, kind = COMMIT.unpack(head[4 : 4 + COMMIT.size])
        expected, name = head[4 + COMMIT.size :][:16], bytes(self.line.take(size))
        handle = self.handle(part, length)
        if kind and file_digest(handle) != expected:
            os.close(self.handles.pop(part))
            os.unlink(PARTS + b"/" + part)
            self.ack(number, BAD_DIGEST)
            return
        try:
            os.fchmod(handle, mode)
            os.utime(handle, ns=(time, time))
            os.rename(PARTS + b"/" + part, name)
        except OSError as error:
            self.ack(number, DONE, [failed(error.errno or errno.EIO, name)])
            return
        os.close(self.handles.pop(part))
        self.sweep(part)
        self.ack(number, DONE)

    def sweep(self, part: bytes) -> None:
        """Partials of other versions of the same file; the room itself may be gone: another line has ended."""
        try:
            for entry in os.listdir(PARTS):
                if entry.startswith(part[:20]) and entry != part:
                    os.unlink(PARTS + b"/" + entry)
        except FileNotFoundError:
            pass

    def ack(self, number: int, status: int, lost: "Sequence[Row]" = ()) -> None:
        self.say("A", ACK.pack(number, status), table(list(lost)) if lost else b"")

    def fail(self, failure: Failure) -> None:
        self.say("E", struct.pack(">I", failure.number), failure.name)

    def say(self, kind: str, head: bytes, body: bytes) -> None:
        with self.crew:
            self.line.send(ord(kind), head, body)

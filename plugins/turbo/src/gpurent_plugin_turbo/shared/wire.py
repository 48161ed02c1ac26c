"""What both sides speak: frames, tables, digests, codecs.

This module also travels as source to the far side: Python 3.6, the standard library, no future annotations.
"""

import os
import struct

from gpurent_plugin_turbo.shared.errors import Broken, Ended

FRAME = struct.Struct(">BIQ")  # kind, bytes of head, bytes of body
UNIT = struct.Struct(">IBBQ16s")  # number, codec, digest, bytes when unpacked, digest of what was unpacked
PARTS = b".gpurent-part"
STEP = 1 << 18
LITTLE = 1 << 17  # an eighth of a pipe
LARGEST = 64 << 20


# lines


def widen(pipe: int) -> None:
    """A pipe that holds more is filled and emptied with fewer changes of process."""
    try:
        from fcntl import fcntl

        fcntl(pipe, 1031, 1 << 20)  # F_SETPIPE_SZ
    except (ImportError, OSError):
        pass


class Line:
    """Frames over two descriptors. One thread may read while another writes."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.read_bytes = self.sent_bytes = 0
        self._buffer = memoryview(b"")
        self.moved = self._rested = 0  # bytes that the sink took
        self._pause = 8e-4

    def fill(self, view: memoryview) -> memoryview:
        done, size = 0, len(view)
        while done < size:
            try:
                got = os.readv(self.source, [view[done:]])
            except OSError as error:
                raise Ended(str(error)) from None
            if not got:
                raise Ended("end of file")
            done += got
        self.read_bytes += size
        return view

    def waiting(self) -> int:
        """Bytes that have come and are not taken yet; as many as there can be where nobody knows."""
        try:
            from fcntl import ioctl

            return int(struct.unpack("i", ioctl(self.source, 0x541B, bytes(4)))[0])  # FIONREAD
        except (ImportError, OSError):
            return LARGEST

    def take(self, size: int) -> memoryview:
        return self.fill(memoryview(bytearray(size)))

    def borrow(self, size: int) -> memoryview:
        """What `take` gives, in a buffer that the next call uses again: fresh memory costs more than its filling."""
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(max(size, 2 * STEP)))
        return self.fill(self._buffer[:size])

    def header(self, largest: int = LARGEST) -> "tuple[int, bytes, int]":
        """Kind and head of the next frame, and how long its body is; the body is still to be taken."""
        kind, head, body = FRAME.unpack(self.take(FRAME.size))
        if head > largest or body > largest:
            raise Broken("a frame of %d and %d bytes" % (head, body))
        return kind, bytes(self.take(head)) if head else b"", body

    def send(self, kind: int, head: bytes = b"", *body: "bytes | memoryview") -> None:
        start = FRAME.pack(kind, len(head), sum(len(piece) for piece in body)) + head
        self._write(start if not body or len(body[0]) > 65536 else start + b"".join(body))
        if body and len(body[0]) > 65536:
            for piece in body:
                self._write(piece)

    def announce(self, kind: int, head: bytes, size: int) -> None:
        """A frame whose body comes by another way."""
        self._write(FRAME.pack(kind, len(head), size) + head)

    def fill_up(self, size: int) -> None:
        """Zeros for what a file that shrank does not have any more."""
        while size:
            self._write(bytes(min(size, STEP)))
            size -= min(size, STEP)

    def move(self, handle: int, at: int, size: int) -> None:
        """A body straight from a file; the kernel does it where it can."""
        while size:
            try:
                done = os.sendfile(self.sink, handle, at, size)
            except BlockingIOError:
                self.rest()
                continue
            except OSError as error:
                if error.errno not in (22, 38):  # EINVAL, ENOSYS
                    raise Ended(str(error)) from None
                data = os.pread(handle, min(size, STEP), at)
                self._write(data)
                done = len(data)
            if not done:
                self.fill_up(size)
                return
            at, size, self.moved = at + done, size - done, self.moved + done

    def rest(self) -> None:
        """Nothing fits. Wait until much does: to wake for each piece that is taken costs more than its copy."""
        import select
        import time

        moved, self._rested = self.moved - self._rested, self.moved
        self._pause = min(
            max(self._pause * (2.0 if moved < LITTLE else 0.5 if moved > 4 * LITTLE else 1.0), 5e-4), 0.008
        )
        poll = select.poll()
        poll.register(self.sink, select.POLLOUT)
        poll.poll(1000)
        time.sleep(self._pause)

    def _write(self, data: "bytes | memoryview") -> None:
        view = memoryview(data)
        size = len(view)
        done = 0
        while done < size:
            try:
                took = os.write(self.sink, view[done : done + (1 << 20)])
                done += took
                self.moved += took
            except BlockingIOError:
                self.rest()
            except OSError as error:
                raise Ended(str(error)) from None
        self.sent_bytes += size


# tables: columns, which compress better than rows

FILE, FOLDER, LINK, HARD = 0, 1, 2, 3


TABLE = struct.Struct(">II")  # rows, bytes of their names and links


def table(rows: "list[tuple[int, int, int, int, bytes, bytes]]") -> bytes:
    """Rows of kind, mode, size, time of change in ns, name, link."""
    count = len(rows)
    if not count:
        return TABLE.pack(0, 0)
    kinds, modes, sizes, times, names, links = zip(*rows)
    text = b"\0".join(names) + b"\0" + b"\0".join(links) + b"\0"
    return b"".join(
        (
            TABLE.pack(count, len(text)),
            bytes(kinds),
            struct.pack(">%dH" % count, *modes),
            struct.pack(">%dQ" % count, *sizes),
            struct.pack(">%dq" % count, *times),
            text,
        )
    )


def rows(data: "bytes | memoryview") -> "tuple[list[tuple[int, int, int, int, bytes, bytes]], int]":
    """The rows of a table and how long it was. A table that is none is `Broken`."""
    try:
        count, length = TABLE.unpack_from(data)
        if TABLE.size + count * 19 + length > len(data):
            raise Broken("a table that is too short")
        if not count:
            return [], TABLE.size
        at = TABLE.size + count
        kinds = bytes(data[TABLE.size : at])
        modes = struct.unpack_from(">%dH" % count, data, at)
        sizes = struct.unpack_from(">%dQ" % count, data, at + 2 * count)
        times = struct.unpack_from(">%dq" % count, data, at + 10 * count)
        at += 18 * count
        text = bytes(data[at : at + length]).split(b"\0", 2 * count)
        if len(text) != 2 * count + 1 or text[-1]:
            raise Broken("a table without its names")
        return list(zip(kinds, modes, sizes, times, text[:count], text[count:-1])), at + length
    except struct.error:
        raise Broken("a table that is too short") from None

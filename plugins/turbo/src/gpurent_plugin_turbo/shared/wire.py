"""The protocol of both sides: frames, their heads, and tables.

Sent to the machine as source: Python 3.7 or later, only the standard library, no future annotations.
"""

import os
import struct
import sys

from gpurent_plugin_turbo.shared.annotations import TableRow

FRAME_HEADER = struct.Struct(">BIQ")  # kind, head size, body size
UNIT_HEADER = struct.Struct(">IBBQ16s")  # number, codec, digest kind, raw size, digest
TABLE_HEADER = struct.Struct(">II")  # rows, size of names and links
FILE, FOLDER, LINK, HARD_LINK = 0, 1, 2, 3  # kinds of rows
OTHER, MISSING, UNREADABLE = 4, 5, 6  # only in a pull's listing
PARTIALS_DIR = b".gpurent-part"
IO_SIZE = 1 << 18
SMALL_WRITE = 1 << 17  # an eighth of a pipe
MAX_FRAME = 64 << 20
# mtimes in ns, from 1901 to 2262: what both the tables and most file systems hold. Any other counts as the nearest.
MIN_TIME, MAX_TIME = -(1 << 31) * 1000000000, (1 << 63) - 1
NO_TIME = -(1 << 63)  # in place of an mtime: the size is an error number


class FrameKind:
    """What a frame is: the first byte of its header. The remote side is the machine, the local one this computer."""

    # From the remote side: its first frame; an error, after which nothing more comes.
    HELLO, ERROR = b"OE"
    # Push, from the local side: entries; small files; a piece of a large file; a large file is complete; no more comes.
    MANIFEST, PACK, PIECE, COMMIT, FINISH = b"MPSCF"
    # Push, from the remote side: what is needed of a manifest; an acknowledgement; everything is done.
    MANIFEST_ANSWER, ACK, FINISHED = b"NAZ"
    # Push and pull: the local side asks for digests of the blocks of a large file that exist; the answer.
    BLOCK_DIGESTS_REQUEST, BLOCK_DIGESTS = b"Bb"
    # Pull: requests of the local side.
    MANIFEST_REQUEST, PACK_REQUEST, PIECE_REQUEST, EXTENTS_REQUEST, DIGEST_REQUEST = b"mGgHV"
    # Their answers are MANIFEST, PACK, PIECE and these; CHANGED: the file is no longer as it was listed.
    EXTENTS, DIGEST, CHANGED = b"hvc"
    # Prune: entries that exist, from the remote side, until FINISHED; entries to delete, answered by ACK.
    LISTING, DELETE = b"LD"


# push
FOREIGN_FOLDER = 0xFFFF  # in place of an error number: a folder of gpurent is a link, or another user's
MANIFEST = struct.Struct(">IQ")  # number, bytes sent without a request
HAVE, NEED, COMPARE = 0, 1, 2  # up to date; to be sent; another version or a part exists, to compare with
PUSHED_PIECE = struct.Struct(">33sQQ")  # partial, offset, file size
COMMIT = struct.Struct(">33sHQqB")  # partial, mode, size, mtime, digest kind (0: none)
ACK = struct.Struct(">IB")  # number, status
DONE, BAD_DIGEST, NO_LIBRARY = 0, 1, 2  # NO_LIBRARY: the machine lacks libzstd or libxxhash

# pull
REQUESTED_PIECE = struct.Struct(">IQQQq")  # number, offset, length, file size, mtime
FILE_STATE = struct.Struct(">Qq")  # size, mtime; or error number, NO_TIME
EXTENT, MAX_EXTENTS = struct.Struct(">QQ"), 65536  # offset, length; the most that are sent
SPARSE = b"sparse"  # in place of a link target: a file with holes
UNCHANGED, CHANGED = 0, 1


class ProtocolViolation(Exception):
    """The other side broke the protocol."""


class ConnectionEnded(Exception):
    """The connection ended, within a frame or between two."""


def enlarge_pipe(pipe: int) -> None:
    """Enlarge a pipe: a larger one needs fewer context switches."""
    try:
        from fcntl import fcntl

        fcntl(pipe, 1031, 1 << 20)  # F_SETPIPE_SZ
    except (ImportError, OSError):
        pass


class FrameStream:
    """Frames over two descriptors. One thread may read while another writes."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.bytes_read = self.bytes_sent = 0
        self._buffer = memoryview(b"")
        self.bytes_written = self._last_bytes_written = 0
        self._pause = 8e-4

    def read_into(self, view: memoryview) -> memoryview:
        done, size = 0, len(view)
        while done < size:
            try:
                got = os.readv(self.source, [view[done:]])
            except OSError as error:
                raise ConnectionEnded(str(error)) from None
            if not got:
                raise ConnectionEnded("end of file")
            done += got
        self.bytes_read += size
        return view

    def count_pending(self) -> int:
        """Return the received bytes that are not read yet; `MAX_FRAME` if unknown."""
        try:
            from fcntl import ioctl

            return int(struct.unpack("i", ioctl(self.source, 0x541B, bytes(4)))[0])  # FIONREAD
        except (ImportError, OSError):
            return MAX_FRAME

    def read(self, size: int) -> memoryview:
        return self.read_into(memoryview(bytearray(size)))

    def read_to_buffer(self, size: int) -> memoryview:
        """Like `read`, into a buffer that the next call reuses: fresh memory costs more than filling it."""
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(max(size, 2 * IO_SIZE)))
        return self.read_into(self._buffer[:size])

    def read_header(self, largest: int = MAX_FRAME) -> "tuple[int, bytes, int]":
        """Return kind and head of the next frame and the size of its body, which is still to be read."""
        kind, head, body = FRAME_HEADER.unpack(self.read(FRAME_HEADER.size))
        if head > largest or body > largest:
            raise ProtocolViolation("a frame of %d and %d bytes" % (head, body))
        return kind, bytes(self.read(head)) if head else b"", body

    def send_frame(self, kind: int, head: bytes = b"", body: "bytes | memoryview" = b"") -> None:
        start = FRAME_HEADER.pack(kind, len(head), len(body)) + head
        for data in (start, body) if len(body) > 65536 else (start + body,):
            self.write(data)

    def send_hello(self) -> None:
        """Send the remote side's first frame, which shows that its code runs."""
        self.send_frame(FrameKind.HELLO, sys.version.split()[0].encode())

    def send_header(self, kind: int, head: bytes, size: int) -> None:
        """Send the header of a frame whose body is sent separately."""
        self.write(FRAME_HEADER.pack(kind, len(head), size) + head)

    def send_zeros(self, size: int) -> None:
        """Send zeros in place of what a file that shrank no longer has."""
        while size:
            self.write(bytes(min(size, IO_SIZE)))
            size -= min(size, IO_SIZE)

    def send_file(self, handle: int, at: int, size: int) -> None:
        """Send a body straight from a file, by the kernel where it can."""
        while size:
            try:
                done = os.sendfile(self.sink, handle, at, size)
            except BlockingIOError:
                self.wait_until_writable()
                continue
            except OSError as error:
                if error.errno not in (22, 38):  # EINVAL, ENOSYS
                    raise ConnectionEnded(str(error)) from None
                data = os.pread(handle, min(size, IO_SIZE), at)
                self.write(data)
                done = len(data)
            if not done:
                self.send_zeros(size)
                return
            at, size, self.bytes_written = at + done, size - done, self.bytes_written + done

    def wait_until_writable(self) -> None:
        """Wait until there is much space: a wake-up for each piece that the peer reads costs more than copying it."""
        import select
        import time

        moved, self._last_bytes_written = self.bytes_written - self._last_bytes_written, self.bytes_written
        self._pause = min(
            max(
                self._pause * (2.0 if moved < SMALL_WRITE else 0.5 if moved > 4 * SMALL_WRITE else 1.0), 5e-4
            ),
            0.008,
        )
        poll = select.poll()
        poll.register(self.sink, select.POLLOUT)
        poll.poll(1000)
        time.sleep(self._pause)

    def write(self, data: "bytes | memoryview") -> None:
        view = memoryview(data)
        size = len(view)
        done = 0
        while done < size:
            try:
                took = os.write(self.sink, view[done : done + (1 << 20)])
                done += took
                self.bytes_written += took
            except BlockingIOError:
                self.wait_until_writable()
            except OSError as error:
                raise ConnectionEnded(str(error)) from None
        self.bytes_sent += size


def get_time(status: os.stat_result) -> int:
    """Return a file's mtime in ns as the protocol can carry it."""
    return min(max(status.st_mtime_ns, MIN_TIME), MAX_TIME)


def make_error_row(number: int, name: bytes) -> "TableRow":
    return (FILE, number, 0, 0, name, os.strerror(number).encode())


def encode_table(rows: "list[TableRow]") -> bytes:
    """Encode column by column, which compresses better than row by row."""
    count = len(rows)
    if not count:
        return TABLE_HEADER.pack(0, 0)
    kinds, modes, sizes, times, names, links = zip(*rows)
    text = b"\0".join(names) + b"\0" + b"\0".join(links) + b"\0"
    return b"".join(
        (
            TABLE_HEADER.pack(count, len(text)),
            bytes(kinds),
            struct.pack(">%dH" % count, *modes),
            struct.pack(">%dQ" % count, *sizes),
            struct.pack(">%dq" % count, *times),
            text,
        )
    )


def decode_table(data: "bytes | memoryview") -> "tuple[list[TableRow], int]":
    """Return the rows of a table and its size. Raises `ProtocolViolation` if the data is no table."""
    try:
        count, length = TABLE_HEADER.unpack_from(data)
        if TABLE_HEADER.size + count * 19 + length > len(data):
            raise ProtocolViolation("a table that is too short")
        if not count:
            return [], TABLE_HEADER.size
        at = TABLE_HEADER.size + count
        kinds = bytes(data[TABLE_HEADER.size : at])
        modes = struct.unpack_from(">%dH" % count, data, at)
        sizes = struct.unpack_from(">%dQ" % count, data, at + 2 * count)
        times = struct.unpack_from(">%dq" % count, data, at + 10 * count)
        at += 18 * count
        text = bytes(data[at : at + length]).split(b"\0", 2 * count)
        if len(text) != 2 * count + 1 or text[-1]:
            raise ProtocolViolation("a table without its names")
        return list(zip(kinds, modes, sizes, times, text[:count], text[count:-1])), at + length
    except struct.error:
        raise ProtocolViolation("a table that is too short") from None

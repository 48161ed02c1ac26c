"""Large files of a push: partials that are written in any order, compared by blocks and renamed when complete."""

import errno
import os
import struct
from collections.abc import Sequence

from gpurent_plugin_turbo.far.workers import WorkerPool
from gpurent_plugin_turbo.shared.annotations import TableRow
from gpurent_plugin_turbo.shared.codec import RAW, Codec, compute_digest, new_digest
from gpurent_plugin_turbo.shared.files import digest_blocks, digest_file, make_folders, write_at
from gpurent_plugin_turbo.shared.wire import (
    ACK,
    BAD_DIGEST,
    COMMIT,
    DONE,
    IO_SIZE,
    NO_LIBRARY,
    PARTIALS_DIR,
    PUSHED_PIECE,
    UNIT_HEADER,
    FrameKind,
    FrameStream,
    ProtocolViolation,
    encode_table,
    make_error_row,
)

FATAL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class FatalDiskError(Exception):
    """Ends the whole push; carries the error number and the name of the file that it occurred on."""

    def __init__(self, number: int, name: bytes) -> None:
        Exception.__init__(self, number, name)
        self.number, self.name = number, name


class PartialFiles:
    """Partials, kept in a folder below the current one; ``pool`` locks the output that all processes share."""

    def __init__(self, frames: FrameStream, pool: "WorkerPool") -> None:
        self.frames, self.codec, self.pool = frames, Codec(), pool
        self.open_files: dict[bytes, int] = {}
        self.has_folder = False

    def make_partials_folder(self) -> None:
        if not self.has_folder:
            self.has_folder = True
            make_folders(PARTIALS_DIR)

    def open_in_folder(self, part: bytes, flags: int, mode: int) -> int:
        """Open a file in the partials folder.

        Another stream that ended may just have removed the folder because it was empty.
        """
        for _ in range(9):
            try:
                return os.open(part, flags, mode)
            except FileNotFoundError:
                self.has_folder = False
                self.make_partials_folder()
        return os.open(part, flags, mode)

    def open_partial(self, part: bytes, size: int) -> int:
        found = self.open_files.get(part)
        if found is None:
            self.make_partials_folder()
            while len(self.open_files) > 8:
                os.close(self.open_files.pop(next(iter(self.open_files))))
            found = self.open_in_folder(PARTIALS_DIR + b"/" + part, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(found).st_size != size:
                os.ftruncate(found, size)
            self.open_files[part] = found
        return found

    def handle_piece(self, head: bytes, size: int) -> None:
        number, codec, kind, length, expected = UNIT_HEADER.unpack(head[: UNIT_HEADER.size])
        part, at, total = PUSHED_PIECE.unpack(head[UNIT_HEADER.size :])
        handle = self.open_partial(part, total)
        if codec == RAW:
            made = self.write_stream(handle, at, size, kind)
            self.send_ack(number, DONE if made == expected else BAD_DIGEST)
            return
        body = self.frames.read_to_buffer(size)
        try:
            data = memoryview(self.codec.decompress(codec, body, length))
        except LookupError:
            self.send_ack(number, NO_LIBRARY)
            return
        except ProtocolViolation:
            self.send_ack(number, BAD_DIGEST)
            return
        write_at(handle, data, at)
        self.send_ack(number, DONE if compute_digest(kind, data) == expected else BAD_DIGEST)

    def write_stream(self, handle: int, at: int, size: int, kind: int) -> bytes:
        """Copy from the connection to disk in chunks that fit the processor's cache; return the digest."""
        made = new_digest(kind)
        while size:
            view = self.frames.read_to_buffer(min(IO_SIZE, size))
            made.update(view)
            write_at(handle, view, at)
            at += len(view)
            size -= len(view)
        return bytes(made.digest())

    def handle_block_digests_request(self, head: bytes, size: int) -> None:
        """Send block digests of the partial; if there is none, the file's old version becomes the partial."""
        number, length, part, kind = struct.unpack(">IQ33sB", head)
        name = bytes(self.frames.read(size))
        found = b""
        try:
            if not os.path.exists(PARTIALS_DIR + b"/" + part):
                self.copy_old_file(name, part, length)
            found = digest_blocks(self.open_partial(part, length), length, kind)
        except OSError as error:
            if error.errno in FATAL_ERRORS:
                raise
        self.send_locked(FrameKind.BLOCK_DIGESTS, struct.pack(">I", number), found)

    def copy_old_file(self, name: bytes, part: bytes, length: int) -> None:
        with open(name, "rb") as old:
            new = self.open_partial(part, length)
            at, left = 0, min(length, os.fstat(old.fileno()).st_size)
            while left:
                data = old.read(min(left, 1 << 20))
                if not data:
                    return
                write_at(new, memoryview(data), at)
                at += len(data)
                left -= len(data)

    def handle_commit(self, head: bytes, size: int) -> None:
        (number,) = struct.unpack(">I", head[:4])
        part, mode, length, time, kind = COMMIT.unpack(head[4 : 4 + COMMIT.size])
        expected, name = head[4 + COMMIT.size :][:16], bytes(self.frames.read(size))
        handle = self.open_partial(part, length)
        if kind and digest_file(handle) != expected:
            os.close(self.open_files.pop(part))
            os.unlink(PARTIALS_DIR + b"/" + part)
            self.send_ack(number, BAD_DIGEST)
            return
        try:
            os.fchmod(handle, mode)
            os.utime(handle, ns=(time, time))
            os.rename(PARTIALS_DIR + b"/" + part, name)
        except OSError as error:
            self.send_ack(number, DONE, [make_error_row(error.errno or errno.EIO, name)])
            return
        os.close(self.open_files.pop(part))
        self.remove_stale_partials(part)
        self.send_ack(number, DONE)

    def remove_stale_partials(self, part: bytes) -> None:
        """Delete partials of other versions of the same file; another stream that ended may have removed the folder."""
        try:
            for entry in os.listdir(PARTIALS_DIR):
                if entry.startswith(part[:20]) and entry != part:
                    os.unlink(PARTIALS_DIR + b"/" + entry)
        except FileNotFoundError:
            pass

    def send_ack(self, number: int, status: int, failures: "Sequence[TableRow]" = ()) -> None:
        self.send_locked(
            FrameKind.ACK, ACK.pack(number, status), encode_table(list(failures)) if failures else b""
        )

    def send_failure(self, failure: FatalDiskError) -> None:
        self.send_locked(FrameKind.ERROR, struct.pack(">I", failure.number), failure.name)

    def send_locked(self, kind: int, head: bytes, body: bytes) -> None:
        with self.pool:
            self.frames.send_frame(kind, head, body)

"""The remote side of a pull: lists what exists and sends what is requested."""

import os
import stat
import struct
import time as clock
import zlib
from collections.abc import Callable, Iterator

from gpurent_plugin_turbo.shared.annotations import Any, TableRow
from gpurent_plugin_turbo.shared.codec import (
    BEST_CODEC,
    BEST_DIGEST,
    RAW,
    Codec,
    compute_digest,
    new_digest,
)
from gpurent_plugin_turbo.shared.files import digest_blocks, digest_path
from gpurent_plugin_turbo.shared.source_files import READ_FLAGS, list_extents, read_whole_file
from gpurent_plugin_turbo.shared.wire import (
    CHANGED,
    EXTENT,
    FILE,
    FILE_STATE,
    FOLDER,
    IO_SIZE,
    LINK,
    MAX_EXTENTS,
    MISSING,
    NO_TIME,
    OTHER,
    REQUESTED_PIECE,
    SPARSE,
    UNCHANGED,
    UNIT_HEADER,
    UNREADABLE,
    ConnectionEnded,
    FrameKind,
    FrameStream,
    decode_table,
    encode_table,
    get_time,
)

COMPRESSION_LEVELS = (0, 1, 3, 5, 7, 9)
MANIFEST_ROWS = 2048


class PullSender:
    """Answers frames one at a time."""

    def __init__(self, frames: FrameStream, sources: "list[bytes]") -> None:
        self.frames, self.codec = frames, Codec()
        self.digest_kind = BEST_DIGEST
        self.codec_kind = BEST_CODEC
        self.level_index = 2
        self.manifest_chunks = self.scan_sources(sources)

    def serve_frames(self) -> None:
        handlers = {
            FrameKind.MANIFEST_REQUEST: self.send_manifest,
            FrameKind.PACK_REQUEST: self.send_pack,
            FrameKind.PIECE_REQUEST: self.send_piece,
            FrameKind.BLOCK_DIGESTS_REQUEST: self.send_block_digests,
            FrameKind.EXTENTS_REQUEST: self.send_extents,
            FrameKind.DIGEST_REQUEST: self.send_file_digest,
        }
        while True:
            try:
                kind, head, size = self.frames.read_header()
                handlers[kind](head, bytes(self.frames.read(size)) if size else b"")
            except ConnectionEnded:
                return

    # manifest

    def send_manifest(self, head: bytes, body: bytes) -> None:
        for number, chunk in self.manifest_chunks:
            self.frames.send_frame(
                FrameKind.MANIFEST, struct.pack(">I", number), zlib.compress(encode_table(chunk), 1)
            )
            return
        self.frames.send_frame(FrameKind.MANIFEST, struct.pack(">I", 0xFFFFFFFF))

    def scan_sources(self, sources: "list[bytes]") -> "Iterator[tuple[int, list[TableRow]]]":
        for number, source in enumerate(sources):
            chunk = []
            for row in self.scan_source(source):
                chunk.append(row)
                if len(chunk) >= MANIFEST_ROWS:
                    yield number, chunk
                    chunk = []
            if chunk:
                yield number, chunk

    def scan_source(self, path: bytes) -> "Iterator[TableRow]":
        name = os.path.basename(os.path.normpath(path))
        try:
            found = os.lstat(path)
        except OSError:
            yield (MISSING, 0, 0, 0, path, b"")
            return
        yield from self.scan_entry(path, name, found)

    def scan_entry(self, path: bytes, name: bytes, found: os.stat_result) -> "Iterator[TableRow]":
        mode, time = stat.S_IMODE(found.st_mode) & 0o777, get_time(found)
        if stat.S_ISREG(found.st_mode):
            link = SPARSE if found.st_blocks * 512 < found.st_size else b""
            yield (FILE, mode, found.st_size, time, name, link)
        elif stat.S_ISDIR(found.st_mode):
            yield (FOLDER, mode, 0, time, name, b"")
            yield from self.scan_folder(path, name)
        elif stat.S_ISLNK(found.st_mode):
            yield (LINK, mode, 0, 0, name, os.readlink(path))
        else:
            yield (OTHER, mode, 0, 0, name, b"")

    def scan_folder(self, path: bytes, name: bytes) -> "Iterator[TableRow]":
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
            yield from self.scan_entry(entry.path, name + b"/" + entry.name, found)

    # requested data

    def send_pack(self, head: bytes, body: bytes) -> None:
        states, pieces = [], []
        for _, _, size, time, name, _ in decode_table(zlib.decompress(body))[0]:
            data, found = self.read_small_file(name, size, time)
            states.append((*found, b"", b""))
            pieces.append(data)
        self.send_unit(FrameKind.PACK, head, b"".join((encode_table(states), *pieces)))

    def read_small_file(self, name: bytes, size: int, time: int) -> "tuple[bytes, tuple[int, int, int, int]]":
        """Return the file's content if it is unchanged, else its current state."""
        try:
            handle = os.open(name, READ_FLAGS)
            try:
                data, now = read_whole_file(handle, size)
            finally:
                os.close(handle)
        except OSError as error:
            return b"", (CHANGED, 0, error.errno or 0, NO_TIME)
        mode = stat.S_IMODE(now.st_mode)
        if data is None or (now.st_size, get_time(now)) != (size, time):
            return b"", (CHANGED, mode, now.st_size, get_time(now))
        return data, (UNCHANGED, mode, size, time)

    def send_piece(self, head: bytes, name: bytes) -> None:
        _, at, length, size, time = REQUESTED_PIECE.unpack(head)
        try:
            handle = os.open(name, READ_FLAGS)
        except OSError as error:
            self.send_change(head[:4], error.errno or 0, NO_TIME)
            return
        try:
            if self.compression_level() and self.is_compressible(handle, at, length):
                data = b""
                while len(data) < length:
                    more = os.pread(handle, length - len(data), at + len(data))
                    if not more:
                        break
                    data = data + more if data else more
                if self.is_unchanged(handle, size, time) and len(data) == length:
                    self.send_unit(FrameKind.PIECE, head[:4], data)
                    return
            elif self.send_raw_piece(handle, head[:4], at, length, size, time):
                return
            now = os.fstat(handle)
            self.send_change(head[:4], now.st_size, get_time(now))
        finally:
            os.close(handle)

    def send_change(self, number: bytes, size: int, time: int) -> None:
        """Report that the file no longer matches its listing. If ``time`` is `NO_TIME`, ``size`` is an error number."""
        self.frames.send_frame(FrameKind.CHANGED, number, FILE_STATE.pack(size, time))

    def is_unchanged(self, handle: int, size: int, time: int) -> bool:
        now = os.fstat(handle)
        return (now.st_size, get_time(now)) == (size, time)

    def is_compressible(self, handle: int, at: int, length: int) -> bool:
        sample = os.pread(handle, min(1 << 15, length), at + length // 2)
        return len(self.codec.compress(self.codec_kind, 1, sample)) < 0.95 * len(sample)

    def send_raw_piece(self, handle: int, number: bytes, at: int, length: int, size: int, time: int) -> bool:
        made, done = new_digest(self.digest_kind), 0
        while done < length:
            data = os.pread(handle, min(IO_SIZE, length - done), at + done)
            if not data:
                return False
            made.update(data)
            done += len(data)
        if not self.is_unchanged(handle, size, time):
            return False
        head = UNIT_HEADER.pack(struct.unpack(">I", number)[0], RAW, self.digest_kind, length, made.digest())
        started_at = clock.time()
        self.frames.send_header(FrameKind.PIECE, head, length)
        self.frames.send_file(handle, at, length)
        self.adjust_level(0.0, clock.time() - started_at)
        return True

    def send_unit(self, kind: int, number: bytes, data: bytes) -> None:
        started_at = clock.time()
        found, used = compute_digest(self.digest_kind, data), RAW
        body: bytes | memoryview = data
        if self.compression_level():
            tight = self.codec.compress(self.codec_kind, self.compression_level(), data)
            if len(tight) < 0.95 * len(data):
                used, body = self.codec_kind, tight  # sent before the codec's buffer is used again
        middle = clock.time()
        head = UNIT_HEADER.pack(struct.unpack(">I", number)[0], used, self.digest_kind, len(data), found)
        self.frames.send_frame(kind, head, body)
        if used != RAW or not self.compression_level():
            self.adjust_level(middle - started_at, clock.time() - middle)

    def compression_level(self) -> int:
        return COMPRESSION_LEVELS[self.level_index]

    def adjust_level(self, compressed: float, waited: float) -> None:
        """Compress harder while the connection is the bottleneck; both times are in seconds."""
        if waited > compressed + 0.002:
            self.level_index = min(self.level_index + 1, len(COMPRESSION_LEVELS) - 1)
        elif waited < compressed / 3:
            self.level_index = max(self.level_index - 1, 0)

    def send_block_digests(self, head: bytes, name: bytes) -> None:
        found = self.read_if_unchanged(
            head, name, lambda handle, size: digest_blocks(handle, size, self.digest_kind)
        )
        if found is not None:
            self.frames.send_frame(
                FrameKind.BLOCK_DIGESTS, head[:4] + struct.pack(">B", self.digest_kind), found
            )

    def send_extents(self, head: bytes, name: bytes) -> None:
        found = self.read_if_unchanged(
            head, name, lambda handle, size: list_extents(handle, size, MAX_EXTENTS)
        )
        if found is not None:
            self.frames.send_frame(
                FrameKind.EXTENTS, head[:4], b"".join(EXTENT.pack(*extent) for extent in found)
            )

    def read_if_unchanged(self, head: bytes, name: bytes, read: "Callable[[int, int], Any]") -> "Any":
        """Return ``read(handle, size)`` of an open file; if the file has changed, report that and return None."""
        size, time = FILE_STATE.unpack(head[4:])
        try:
            handle = os.open(name, READ_FLAGS)
            try:
                found = read(handle, size)
                now = os.fstat(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self.send_change(head[:4], error.errno or 0, NO_TIME)
            return None
        if (now.st_size, get_time(now)) == (size, time):
            return found
        self.send_change(head[:4], now.st_size, get_time(now))
        return None

    def send_file_digest(self, head: bytes, name: bytes) -> None:
        self.frames.send_frame(FrameKind.DIGEST, head, digest_path(name) or bytes(16))


def serve_pull(sources: "list[bytes]") -> None:
    frames = FrameStream(0, 1)
    try:
        frames.send_hello()
        PullSender(frames, sources).serve_frames()
    except ConnectionEnded:
        pass

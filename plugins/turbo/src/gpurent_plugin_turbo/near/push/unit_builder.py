"""Builds units: reads, digests and compresses what is to travel."""

from __future__ import annotations

import os
from threading import Lock, local
from time import thread_time

from gpurent_plugin_turbo.near.connection.rate_control import CompressionLevel
from gpurent_plugin_turbo.near.push.pack_buffer import BufferPool, PackBuffer
from gpurent_plugin_turbo.near.push.push_units import FileRange, Pack, Piece, PushUnit
from gpurent_plugin_turbo.shared.codec import (
    BEST_CODEC,
    BEST_DIGEST,
    BLAKE,
    RAW,
    ZLIB,
    Codec,
    compute_digest,
    new_digest,
)
from gpurent_plugin_turbo.shared.wire import IO_SIZE

SAMPLE = 1 << 15
MAX_RATIO = 0.95  # what does not shrink below this travels as it is


class UnitBuilder:
    """Makes units; several threads at once, each with its own codec."""

    def __init__(self, level: CompressionLevel) -> None:
        self._level = level
        self.portable_digest = False
        self.keep_raw = True  # for as long as it may be compressed harder
        self._local = local()
        self._read_lock = Lock()
        self._buffers = BufferPool()
        self._codec = BEST_CODEC

    @property
    def digest_kind(self) -> int:
        return BLAKE if self.portable_digest else BEST_DIGEST

    def use_portable_formats(self) -> None:
        """The far side lacks a library: what every Python has, from now on."""
        self.portable_digest = True
        self._codec = ZLIB

    def build_unit(self, task: Pack | Piece, codec: Codec) -> tuple[PushUnit | None, list[tuple[bytes, str]]]:
        """The unit, None when nothing of it can be read; and what cannot be, with the reason."""
        if isinstance(task, Piece):
            return self._build_piece(task, codec), []
        return self._build_pack(task, codec)

    def _build_piece(self, task: Piece, codec: Codec) -> PushUnit:
        if not self._level.current or not self._is_piece_compressible(task, codec):
            return self._build_raw_piece(task)
        view, done = self._get_buffer(task.size), 0
        while done < task.size:
            got = os.preadv(task.upload.handle, [view[done:]], task.at + done)
            if not got:
                task.upload.problem = "changed while it was read"
                view[done:] = bytes(task.size - done)
                break
            done += got
        unit = self._make_raw_unit(task, compute_digest(self.digest_kind, view))
        self._compress_unit(unit, view, self._level.current or 1, codec)
        unit.raw = bytes(view) if self.keep_raw else None
        return unit

    def _build_raw_piece(self, task: Piece) -> PushUnit:
        """Only its digest is computed here; the kernel moves it from the file to the connection."""
        made = new_digest(self.digest_kind)
        buffer, done = self._get_buffer(IO_SIZE), 0
        while done < task.size:
            view = buffer[: min(len(buffer), task.size - done)]
            got = os.preadv(task.upload.handle, [view], task.at + done)
            if not got:
                task.upload.problem = "changed while it was read"
                break
            made.update(view[:got])
            done += got
        return self._make_raw_unit(task, made.digest())

    def _make_raw_unit(self, task: Piece, digest: bytes) -> PushUnit:
        body = FileRange(task.upload.handle, task.at, task.size)
        return PushUnit(task, RAW, self.digest_kind, task.size, digest, body)

    def _get_buffer(self, size: int) -> memoryview:
        """Memory of this thread, used again and again."""
        found: memoryview | None = getattr(self._local, "buffer", None)
        if found is None or len(found) < size:
            found = self._local.buffer = memoryview(bytearray(max(size, IO_SIZE)))
        return found[:size]

    def _is_piece_compressible(self, task: Piece, codec: Codec) -> bool:
        middle = task.at + task.size // 2
        return self._shrinks(os.pread(task.upload.handle, min(SAMPLE, task.size), middle), codec)

    def _is_pack_compressible(self, data: memoryview, codec: Codec) -> bool:
        """A sample from the middle tells, at little cost, whether compressing is worth its time."""
        middle = len(data) // 2
        return len(data) < 4 * SAMPLE or self._shrinks(bytes(data[middle : middle + SAMPLE]), codec)

    def _shrinks(self, sample: bytes, codec: Codec) -> bool:
        return len(codec.compress(self._codec, 1, sample)) < MAX_RATIO * len(sample)

    def _build_pack(self, task: Pack, codec: Codec) -> tuple[PushUnit | None, list[tuple[bytes, str]]]:
        with self._read_lock:
            packed = PackBuffer(task.entries, self._buffers)
        if not packed.packed:
            return None, packed.failed
        task.entries = packed.packed
        data, kind = packed.view, self.digest_kind
        unit = PushUnit(task, RAW, kind, len(data), compute_digest(kind, data), data)
        unit.buffer = packed.buffer
        level = self._level.current
        if level and self._is_pack_compressible(data, codec):
            self._compress_unit(unit, data, level, codec)
            unit.raw = data if self.keep_raw else None
        elif level > 1:  # the table of names shrinks, and the streams are slow enough for that to count
            self._compress_unit(unit, data, 1, codec, 0.999)
        if unit.codec != RAW and unit.raw is None:
            self.release_buffer(unit)
        return unit, packed.failed

    def release_buffer(self, unit: PushUnit) -> None:
        """Its memory is free for another pack."""
        if unit.buffer is not None:
            self._buffers.release(unit.buffer)
            unit.buffer = None

    def _compress_unit(
        self, unit: PushUnit, data: bytes | memoryview, level: int, codec: Codec, max_ratio: float = MAX_RATIO
    ) -> None:
        begun = thread_time()  # of the processor: waiting for it says nothing of the level
        compressed = bytes(codec.compress(self._codec, level, data))  # out of a buffer that is larger by far
        self._level.record_compression(level, len(data), len(compressed), thread_time() - begun)
        if len(compressed) < max_ratio * len(data):
            unit.codec, unit.level = self._codec, level
            unit.body, unit.wire_size = compressed, len(compressed)

    def recompress(self, unit: PushUnit, codec: Codec) -> None:
        """Compress it harder: nothing can be sent yet anyway."""
        if unit.raw is not None:
            self._compress_unit(unit, unit.raw, self._level.idle_level, codec)

"""Builds units: reads, hashes and compresses what is sent.

Small files lie side by side in one buffer, behind a table that describes them: that is a pack.
"""

from __future__ import annotations

import os
import stat
import sys
from threading import Lock, local
from time import thread_time

from gpurent import api
from gpurent_plugin_turbo.near.connection.rate_control import CompressionLevel
from gpurent_plugin_turbo.near.push.push_units import FilePack, FilePiece, PushUnit
from gpurent_plugin_turbo.near.push.scan import SourceEntry
from gpurent_plugin_turbo.shared.annotations import TableRow
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
from gpurent_plugin_turbo.shared.source_files import read_whole_file
from gpurent_plugin_turbo.shared.wire import IO_SIZE, TABLE_HEADER, encode_table, get_time

SAMPLE_SIZE = 1 << 15
MAX_COMPRESSION_RATIO = 0.95  # what does not shrink below this is sent uncompressed
MIN_BUFFER_SIZE = 1 << 20
MAX_FREE_BUFFERS = 8  # buffers kept for reuse
ROW_BYTES = 21  # bytes of a table row without its name


class BufferPool:
    """Reusable buffers: fresh memory costs a page fault for every 4 KiB. Only one thread may acquire at a time."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def acquire(self, size: int) -> bytearray:
        found = self._free.pop() if self._free else bytearray()
        return found if len(found) >= size else bytearray(max(size, MIN_BUFFER_SIZE + MIN_BUFFER_SIZE // 4))

    def release(self, buffer: bytearray) -> None:
        if len(self._free) < MAX_FREE_BUFFERS:
            self._free.append(buffer)


class PackBuffer:
    """A pack being read: `view` is the table and the contents, `packed_entries` are the files in it.

    `failures` names the files that could not be read, with reasons.
    """

    def __init__(self, entries: list[SourceEntry], buffers: BufferPool) -> None:
        self.packed_entries: list[SourceEntry] = []
        self.failures: list[tuple[bytes, str]] = []
        self._rows: list[TableRow] = []
        start = TABLE_HEADER.size + sum(len(entry.name) + ROW_BYTES for entry in entries)
        self.buffer = buffers.acquire(start + sum(entry.size for entry in entries) + 1)
        end = self._read_entries(entries, start)
        table = encode_table(self._rows)
        self.view = memoryview(self.buffer)[start - len(table) : end]
        self.view[: len(table)] = table

    def _read_entries(self, entries: list[SourceEntry], at: int) -> int:
        """Read the files and return the end of the data.

        The fast path is one read of the scanned size and a check that the file still matches the scan.
        """
        view = memoryview(self.buffer)
        for entry in entries:
            size, now = entry.size, None
            try:
                handle = entry.file.open_file()
                try:
                    got = os.readv(handle, [view[at : at + size + 1]])
                    now = os.fstat(handle)
                finally:
                    os.close(handle)
            except OSError:
                got = -1
            if now is None or not (got == size == now.st_size and get_time(now) == entry.time):
                try:
                    found = read_unchanged_file(entry)
                except OSError as error:
                    self.failures.append((entry.name, api.describe_unreadable(error)))
                    continue
                if found is None:
                    self.failures.append((entry.name, api.FileProblem.CHANGED.text))
                    continue
                data, now = found
                size = len(data)
                view = self._grow_buffer(at + size + 1, view)
                view[at : at + size] = data
            self.packed_entries.append(entry)
            self._rows.append((entry.kind, stat.S_IMODE(now.st_mode), size, get_time(now), entry.name, b""))
            at += size
            view = self._grow_buffer(at + 1, view)
        return at

    def _grow_buffer(self, size: int, view: memoryview) -> memoryview:
        """Return a larger buffer if needed: a file may have grown since the scan."""
        if size <= len(view):
            return view
        larger = bytearray(2 * size)
        larger[: len(view)] = view
        self.buffer = larger
        return memoryview(larger)


def read_unchanged_file(
    entry: SourceEntry, tries: int = 2, most: int = sys.maxsize
) -> tuple[bytes, os.stat_result] | None:
    """Read a file of at most ``most`` bytes in one consistent state; None if it keeps changing."""
    for _ in range(tries):
        handle = entry.file.open_file()
        try:
            data, status = read_whole_file(handle, most)
        finally:
            os.close(handle)
        if data is not None:
            return data, status
    return None


class UnitBuilder:
    """Builds units, in several threads, each with its own codec."""

    def __init__(self, level: CompressionLevel) -> None:
        self._level = level
        self.digest_kind, self._codec_kind = BEST_DIGEST, BEST_CODEC
        self.keep_raw = True  # while units may still be compressed harder
        self._thread_local = local()
        self._read_lock = Lock()
        self._buffers = BufferPool()

    def use_portable_formats(self) -> None:
        """Use the formats that every Python has from now on: the remote side lacks a library."""
        self.digest_kind, self._codec_kind = BLAKE, ZLIB

    def build_unit(
        self, task: FilePack | FilePiece | PushUnit, codec: Codec
    ) -> tuple[PushUnit | None, list[tuple[bytes, str]]]:
        """Return the unit, or None if nothing of it can be read, and the failures with their reasons.

        A task that is already a unit is compressed harder, while nothing can be sent anyway.
        """
        if isinstance(task, PushUnit):
            if task.raw_data is not None:
                self._compress_unit(task, task.raw_data, self._level.idle_level, codec)
            return task, []
        if isinstance(task, FilePiece):
            return self._build_piece(task, codec), []
        return self._build_pack(task, codec)

    def _build_piece(self, task: FilePiece, codec: Codec) -> PushUnit:
        if not self._level.current or not self._is_piece_compressible(task, codec):
            return self._build_raw_piece(task)
        view, done = self._get_buffer(task.size), 0
        while done < task.size:
            got = os.preadv(task.upload.handle, [view[done:]], task.offset + done)
            if not got:
                task.upload.problem = api.FileProblem.CHANGED.text
                view[done:] = bytes(task.size - done)
                break
            done += got
        kind = self.digest_kind
        unit = PushUnit(task, kind, compute_digest(kind, view), task.size)
        self._compress_unit(unit, view, self._level.current or 1, codec)
        unit.raw_data = bytes(view) if self.keep_raw else None
        return unit

    def _build_raw_piece(self, task: FilePiece) -> PushUnit:
        """Compute only the digest; the kernel copies the data from the file to the connection."""
        kind = self.digest_kind  # may change meanwhile
        made = new_digest(kind)
        buffer, done = self._get_buffer(IO_SIZE), 0
        while done < task.size:
            view = buffer[: min(len(buffer), task.size - done)]
            got = os.preadv(task.upload.handle, [view], task.offset + done)
            if not got:
                task.upload.problem = api.FileProblem.CHANGED.text
                break
            made.update(view[:got])
            done += got
        return PushUnit(task, kind, made.digest(), task.size)

    def _get_buffer(self, size: int) -> memoryview:
        """Return this thread's reusable buffer."""
        found: memoryview | None = getattr(self._thread_local, "buffer", None)
        if found is None or len(found) < size:
            found = self._thread_local.buffer = memoryview(bytearray(max(size, IO_SIZE)))
        return found[:size]

    def _is_piece_compressible(self, task: FilePiece, codec: Codec) -> bool:
        middle = task.offset + task.size // 2
        return self._is_sample_compressible(
            os.pread(task.upload.handle, min(SAMPLE_SIZE, task.size), middle), codec
        )

    def _is_pack_compressible(self, data: memoryview, codec: Codec) -> bool:
        """Return whether compressing is worthwhile, judged cheaply by a sample from the middle."""
        middle = len(data) // 2
        return len(data) < 4 * SAMPLE_SIZE or self._is_sample_compressible(
            bytes(data[middle : middle + SAMPLE_SIZE]), codec
        )

    def _is_sample_compressible(self, sample: bytes, codec: Codec) -> bool:
        return len(codec.compress(self._codec_kind, 1, sample)) < MAX_COMPRESSION_RATIO * len(sample)

    def _build_pack(self, task: FilePack, codec: Codec) -> tuple[PushUnit | None, list[tuple[bytes, str]]]:
        with self._read_lock:
            packed = PackBuffer(task.entries, self._buffers)
        if not packed.packed_entries:
            return None, packed.failures
        task.entries = packed.packed_entries
        data, kind = packed.view, self.digest_kind
        unit = PushUnit(task, kind, compute_digest(kind, data), len(data), data)
        unit.buffer = packed.buffer
        level = self._level.current
        if level and self._is_pack_compressible(data, codec):
            self._compress_unit(unit, data, level, codec)
            unit.raw_data = data if self.keep_raw else None
        elif level > 1:  # the table of names shrinks, which pays on slow streams
            self._compress_unit(unit, data, 1, codec, 0.999)
        if unit.codec_kind != RAW and unit.raw_data is None:
            self.release_buffer(unit)
        return unit, packed.failures

    def release_buffer(self, unit: PushUnit) -> None:
        if unit.buffer is not None:
            self._buffers.release(unit.buffer)
            unit.buffer = None

    def _compress_unit(
        self,
        unit: PushUnit,
        data: bytes | memoryview,
        level: int,
        codec: Codec,
        max_ratio: float = MAX_COMPRESSION_RATIO,
    ) -> None:
        started_at = thread_time()  # processor time: waiting says nothing about the level
        compressed = bytes(
            codec.compress(self._codec_kind, level, data)
        )  # a copy out of the codec's much larger buffer
        self._level.record_compression(level, len(data), len(compressed), thread_time() - started_at)
        if len(compressed) < max_ratio * len(data):
            unit.codec_kind, unit.level = self._codec_kind, level
            unit.body, unit.wire_size = compressed, len(compressed)

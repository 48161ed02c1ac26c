"""Builds units: reads, digests and compresses what is to travel."""

from __future__ import annotations

import os
from threading import Lock, local
from time import thread_time

from gpurent_plugin_turbo.near.connection.rate_control import Level
from gpurent_plugin_turbo.near.push.pack_buffer import Buffers, Packed
from gpurent_plugin_turbo.near.push.push_units import (
    OPEN as _OPEN,
    FileRange,
    Pack,
    Piece,
    Unit,
    whole_digest,
)
from gpurent_plugin_turbo.shared import wire
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

SAMPLE = 1 << 15
WORTH = 0.95  # what does not shrink below this travels as it is


class Builder:
    """Makes units; several threads at once, each with its own codec."""

    def __init__(self, level: Level, whole: bool) -> None:
        self._level, self._whole = level, whole
        self.plain_digest = False
        self.keep = True  # what was pressed, while it may be pressed harder
        self._local = local()
        self._reading = Lock()
        self._buffers = Buffers()
        self._codec = BEST_CODEC

    @property
    def digest_kind(self) -> int:
        return BLAKE if self.plain_digest else BEST_DIGEST

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
        view, done = self._buffer(task.size), 0
        while done < task.size:
            got = os.preadv(task.big.handle, [view[done:]], task.at + done)
            if not got:
                task.big.trouble = "changed while it was read"
                view[done:] = bytes(task.size - done)
                break
            done += got
        body = FileRange(task.big.handle, task.at, task.size)
        unit = Unit(
            task, RAW, self.digest_kind, task.size, compute_digest(self.digest_kind, view), (body,), task.size
        )
        self._press(unit, view, self._level.now or 1, codec)
        unit.raw = bytes(view) if self.keep else None
        return unit

    def _raw_piece(self, task: Piece) -> Unit:
        """Only looked at here; the kernel moves it from the file to the line."""
        made = new_digest(self.digest_kind)
        buffer, done = self._buffer(wire.STEP), 0
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

    def _buffer(self, size: int) -> memoryview:
        """Memory of this thread, used again and again."""
        found: memoryview | None = getattr(self._local, "buffer", None)
        if found is None or len(found) < size:
            found = self._local.buffer = memoryview(bytearray(max(size, wire.STEP)))
        return found[:size]

    def _piece_shrinks(self, task: Piece, codec: Codec) -> bool:
        middle = task.at + task.size // 2
        sample = os.pread(task.big.handle, min(SAMPLE, task.size), middle)
        return len(codec.compress(self._codec, 1, sample)) < WORTH * len(sample)

    def _pack(self, task: Pack, codec: Codec) -> tuple[Unit | None, list[tuple[bytes, str]]]:
        with self._reading:
            packed = Packed(task.entries, self._buffers)
        if not packed.good:
            return None, packed.lost
        task.entries = packed.good
        data, kind = packed.view, self.digest_kind
        unit = Unit(task, RAW, kind, len(data), compute_digest(kind, data), (data,), len(data))
        unit.buffer = packed.buffer
        level = self._level.now
        if level and self._shrinks(data, codec):
            self._press(unit, data, level, codec)
            unit.raw = data if self.keep else None
        elif level > 1:  # the table of names shrinks, and the line is slow enough for that to count
            self._press(unit, data, 1, codec, 0.999)
        if unit.codec != RAW and unit.raw is None:
            self.recycle(unit)
        return unit, packed.lost

    def recycle(self, unit: Unit) -> None:
        """Its memory is free for another pack."""
        if unit.buffer is not None:
            self._buffers.give(unit.buffer)
            unit.buffer = None

    def _press(
        self, unit: Unit, data: bytes | memoryview, level: int, codec: Codec, worth: float = WORTH
    ) -> None:
        begun = thread_time()  # of the processor: waiting for it says nothing of the level
        tight = bytes(codec.compress(self._codec, level, data))  # its room is larger by far
        self._level.pressed(level, len(data), len(tight), thread_time() - begun)
        if len(tight) < worth * len(data):
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
            return whole_digest(handle)
        finally:
            os.close(handle)

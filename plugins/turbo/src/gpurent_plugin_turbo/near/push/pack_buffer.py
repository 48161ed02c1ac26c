"""Small files side by side in one piece of memory, behind a table of them: what travels as a pack."""

from __future__ import annotations

import os
import stat

from gpurent_plugin_turbo.near.push.push_units import OPEN
from gpurent_plugin_turbo.shared import wire

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent_plugin_turbo.near.push.scan import Entry

LEAST = 1 << 20
KEPT = 8  # buffers that wait for their next use
ROW = 21  # bytes of a row of the table beside its name


class Buffers:
    """Memory that is used again: fresh memory costs a page fault for every 4 KiB of it."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        try:
            found = self._free.pop()
        except IndexError:
            found = bytearray()
        return found if len(found) >= size else bytearray(max(size, LEAST + LEAST // 4))

    def give(self, buffer: bytearray) -> None:
        if len(self._free) < KEPT:
            self._free.append(buffer)


class Packed:
    """`view` is table and contents; `good` are the entries in it, `lost` those that cannot be read, and why."""

    def __init__(self, entries: list[Entry], buffers: Buffers) -> None:
        self.good: list[Entry] = []
        self.lost: list[tuple[bytes, str]] = []
        self._rows: list[tuple[int, int, int, int, bytes, bytes]] = []
        start = wire.TABLE.size + sum(len(entry.name) + ROW for entry in entries)
        self.buffer = buffers.take(start + sum(entry.size for entry in entries) + 1)
        end = self._fill(entries, start)
        table = wire.table(self._rows)
        self.view = memoryview(self.buffer)[start - len(table) : end]
        self.view[: len(table)] = table

    def _fill(self, entries: list[Entry], at: int) -> int:
        """The end of what was read. The quick way: one read of what the scan saw, and a look whether it still is."""
        view = memoryview(self.buffer)
        for entry in entries:
            size, now = entry.size, None
            try:
                handle = os.open(entry.path, OPEN)
                try:
                    got = os.readv(handle, [view[at : at + size + 1]])
                    now = os.fstat(handle)
                finally:
                    os.close(handle)
            except OSError:
                got = -1
            if now is None or not (got == size == now.st_size and now.st_mtime_ns == entry.time):
                try:
                    data, now = read(entry)
                except OSError as error:
                    self.lost.append((entry.name, f"vanished or cannot be read: {error.strerror}"))
                    continue
                except Moving:
                    self.lost.append((entry.name, "changed while it was read"))
                    continue
                size = len(data)
                view = self._room_for(at + size + 1, view)
                view[at : at + size] = data
            self.good.append(entry)
            self._rows.append((entry.kind, stat.S_IMODE(now.st_mode), size, now.st_mtime_ns, entry.name, b""))
            at += size
            if at + 1 > len(view):
                view = self._room_for(at + 1, view)
        return at

    def _room_for(self, size: int, view: memoryview) -> memoryview:
        """A file has grown beyond what the scan saw."""
        if size <= len(view):
            return view
        larger = bytearray(2 * size)
        larger[: len(view)] = view
        self.buffer = larger
        return memoryview(larger)


class Moving(Exception):
    """A file changes faster than it can be read."""


def read(entry: Entry) -> tuple[bytes, os.stat_result]:
    """A small file as it was at one moment; once more when it changed under our hands."""
    for _ in range(2):
        handle = os.open(entry.path, OPEN)
        try:
            before = os.fstat(handle)
            data = os.read(handle, before.st_size + 1)
            while len(data) < before.st_size and (more := os.read(handle, before.st_size + 1 - len(data))):
                data += more
            after = os.fstat(handle)
        finally:
            os.close(handle)
        if len(data) == after.st_size == before.st_size and before.st_mtime_ns == after.st_mtime_ns:
            return data, after
    raise Moving

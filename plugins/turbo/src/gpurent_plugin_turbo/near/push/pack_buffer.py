"""Small files side by side in one piece of memory, behind a table of them: what travels as a pack."""

from __future__ import annotations

import os
import stat
import sys

from gpurent_plugin_turbo.near.push.push_units import READ_FLAGS
from gpurent_plugin_turbo.shared.wire import TABLE_HEAD, encode_table

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent_plugin_turbo.near.push.scan import SourceEntry
    from gpurent_plugin_turbo.shared.wire import TableRow

MIN_BUFFER = 1 << 20
MAX_FREE = 8  # buffers that wait for their next use
ROW_BYTES = 21  # bytes of a row of the table beside its name


class BufferPool:
    """Memory that is used again: fresh memory costs a page fault for every 4 KiB of it."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def acquire(self, size: int) -> bytearray:
        try:
            found = self._free.pop()
        except IndexError:
            found = bytearray()
        return found if len(found) >= size else bytearray(max(size, MIN_BUFFER + MIN_BUFFER // 4))

    def release(self, buffer: bytearray) -> None:
        if len(self._free) < MAX_FREE:
            self._free.append(buffer)


class PackBuffer:
    """`view` is table and contents; `packed` are the entries in it, `failed` those that cannot be read, and why."""

    def __init__(self, entries: list[SourceEntry], buffers: BufferPool) -> None:
        self.packed: list[SourceEntry] = []
        self.failed: list[tuple[bytes, str]] = []
        self._rows: list[TableRow] = []
        start = TABLE_HEAD.size + sum(len(entry.name) + ROW_BYTES for entry in entries)
        self.buffer = buffers.acquire(start + sum(entry.size for entry in entries) + 1)
        end = self._read_entries(entries, start)
        table = encode_table(self._rows)
        self.view = memoryview(self.buffer)[start - len(table) : end]
        self.view[: len(table)] = table

    def _read_entries(self, entries: list[SourceEntry], at: int) -> int:
        """The end of what was read. The quick way: one read of what the scan saw, and a check that it still is so."""
        view = memoryview(self.buffer)
        for entry in entries:
            size, now = entry.size, None
            try:
                handle = os.open(entry.path, READ_FLAGS)
                try:
                    got = os.readv(handle, [view[at : at + size + 1]])
                    now = os.fstat(handle)
                finally:
                    os.close(handle)
            except OSError:
                got = -1
            if now is None or not (got == size == now.st_size and now.st_mtime_ns == entry.time):
                try:
                    found = read_unchanged(entry)
                except OSError as error:
                    self.failed.append((entry.name, f"vanished or cannot be read: {error.strerror}"))
                    continue
                if found is None:
                    self.failed.append((entry.name, "changed while it was read"))
                    continue
                data, now = found
                size = len(data)
                view = self._grow(at + size + 1, view)
                view[at : at + size] = data
            self.packed.append(entry)
            self._rows.append((entry.kind, stat.S_IMODE(now.st_mode), size, now.st_mtime_ns, entry.name, b""))
            at += size
            view = self._grow(at + 1, view)
        return at

    def _grow(self, size: int, view: memoryview) -> memoryview:
        """A file has grown beyond what the scan saw."""
        if size <= len(view):
            return view
        larger = bytearray(2 * size)
        larger[: len(view)] = view
        self.buffer = larger
        return memoryview(larger)


def read_unchanged(
    entry: SourceEntry, tries: int = 2, most: int = sys.maxsize
) -> tuple[bytes, os.stat_result] | None:
    """A file of at most ``most`` bytes as it was at one moment; None: it changes while it is read."""
    for _ in range(tries):
        handle = os.open(entry.path, READ_FLAGS | os.O_NONBLOCK)  # what became a pipe does not hold us up
        try:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode) or before.st_size > most:
                return None
            data = os.read(handle, before.st_size + 1)
            while len(data) < before.st_size and (more := os.read(handle, before.st_size + 1 - len(data))):
                data += more
            after = os.fstat(handle)
        finally:
            os.close(handle)
        if len(data) == after.st_size == before.st_size and before.st_mtime_ns == after.st_mtime_ns:
            return data, after
    return None

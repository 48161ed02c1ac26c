"""Sends a large file to a machine without Python; its partial grows only at the end, so it is always a prefix."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator

from attrs import define

from gpurent.api import Progress, describe_unreadable, escape_name
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.errors import damaged_file_error, decode_name
from gpurent_plugin_turbo.near.push.scan import SourceEntry
from gpurent_plugin_turbo.posix.listing import make_touch_times
from gpurent_plugin_turbo.posix.machine_tools import Checksum, MachineTools, add_file_data
from gpurent_plugin_turbo.posix.scripts import WRITE_FUNCTIONS, quote_folder, quote_word, split_name
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptAnswer, tool_error
from gpurent_plugin_turbo.shared.source_files import list_extents
from gpurent_plugin_turbo.shared.wire import PARTIALS_DIR

MIN_STEP, COMPRESSED_STEP, MAX_STEP = 8 * MIB, 16 * MIB, 256 * MIB  # bytes per step
MIN_HOLE = MIB  # a smaller hole is sent as zeros
ZEROS = bytes(MIB)


@define
class DataSegment:
    """Data from ``start`` to ``end``, after a hole that begins where the partial currently ends."""

    hole_start: int
    start: int
    end: int


class LargeFileSender:
    """Sends one file after the other; ``enter_script`` changes to the target."""

    def __init__(
        self, shell: PosixShell, progress: Progress, enter_script: bytes, tools: MachineTools
    ) -> None:
        self._shell, self._progress, self._enter_script, self._tools = shell, progress, enter_script, tools
        self.resumed = 0

    def send_file(self, entry: SourceEntry, partial_size: int) -> str:
        """Send the file; return why it failed, or an empty string. ``partial_size``: bytes in its partial."""
        why = self._try_send_file(entry, partial_size)
        if why and (fresh := entry.refresh()) is not None:
            why = self._try_send_file(fresh, 0)
        return why

    def _try_send_file(self, entry: SourceEntry, partial_size: int) -> str:
        try:
            handle = entry.file.open_file()
        except OSError as error:
            return describe_unreadable(error)
        try:
            if why := entry.describe_change(handle):
                return why
            for prefix in (partial_size, 0):
                checksum, at = self._verify_prefix(entry, handle, prefix)
                for step in _plan_steps(handle, at, entry.size, self._step_size):
                    self._send_step(entry, handle, step, checksum)
                if why := entry.describe_change(handle):
                    self._run_script(entry, b'rm -f "$P"\n')
                    return why
                answer = self._commit_file(entry, checksum.to_tool_output())
                if b"bad" not in answer.lines:
                    break
            else:
                raise damaged_file_error(entry.name)
        finally:
            os.close(handle)
        for line in answer.find_all(b"lost"):
            return escape_name(line.split(b" ", 2)[-1].decode("utf-8", "replace"))
        self._progress.finish_file(decode_name(entry.name))
        return ""

    def _verify_prefix(self, entry: SourceEntry, handle: int, partial_size: int) -> tuple[Checksum, int]:
        """Return the checksum and the length of the data that is already there."""
        checksum = self._tools.new_checksum()
        if not 0 < partial_size <= entry.size:
            return checksum, 0
        theirs = self._run_script(entry, b'say sum "$(sum <"$P")"; say size "$(size "$P")"\n')
        size = int(theirs.find_first(b"size").strip() or 0)
        good = 0 < size <= entry.size and add_file_data(checksum, handle, size)
        if not good or checksum.to_tool_output() != theirs.find_first(b"sum"):
            return self._tools.new_checksum(), 0
        self.resumed += size
        self._progress.advance(size, decode_name(entry.name))
        return checksum, size

    def _step_size(self, sample: bytes) -> int:
        if self._tools.compress(sample, self._shell.rate) is not None:
            return COMPRESSED_STEP
        return int(min(max(self._shell.rate * 4, MIN_STEP), MAX_STEP))

    def _send_step(self, entry: SourceEntry, handle: int, step: DataSegment, checksum: Checksum) -> None:
        size = step.end - step.start
        _add_zeros(checksum, step.start - step.hole_start)
        payload: Iterable[bytes] = _read_data(handle, step.start, size, checksum)
        compressed = None
        if self._tools.should_compress(self._shell.rate) and size <= COMPRESSED_STEP:
            data = b"".join(payload)
            compressed = self._tools.compress(data, self._shell.rate)
            payload = [data if compressed is None else compressed]
        lines = [b"mkdir -p %s || fail\n" % PARTIALS_DIR]
        lines.append(b': >"$P" || fail\n' if not step.hole_start else b"")
        lines.append(b'[ "$(size "$P")" -eq %d ] || fail\n' % step.hole_start)
        if step.start > step.hole_start:
            lines.append(b'dd if=/dev/null of="$P" bs=1 seek=%d 2>/dev/null || fail\n' % step.start)
        if compressed is not None:
            lines.append(b'head -c %d | gzip -dc >>"$P" || fail\n' % len(compressed))
        elif size:
            lines.append(b'head -c %d >>"$P" || fail\n' % size)
        lines.append(b'[ "$(size "$P")" -eq %d ] || fail\n' % step.end)
        self._run_script(entry, b"".join(lines), payload if size else ())
        self._progress.advance(step.end - step.hole_start, decode_name(entry.name))

    def _commit_file(self, entry: SourceEntry, checksum: bytes) -> ScriptAnswer:
        """Verify the complete partial and give it its final name."""
        above, base = split_name(entry.name)
        lines = [
            b'[ "$(sum <"$P")" = %s ] || { rm -f "$P"; say bad; end; }\n' % checksum,
            b'chmod %o "$P" && set_time "$P" %s || fail\n' % (entry.mode, make_touch_times(entry.time)),
            b'mkdir -p "$S/0" && mv -f "$P" "$S"/0/%s || fail\n' % quote_word(base),
            b'move_into 0 %s "$S"/0/%s\nrm -rf "$S"\n' % (quote_folder(above), quote_word(base)),
            b"rm -f %s/%s*\n" % (PARTIALS_DIR, entry.partial_name[:20]),
        ]
        return self._run_script(entry, b"".join(lines))

    def _run_script(self, entry: SourceEntry, script: bytes, payload: Iterable[bytes] = ()) -> ScriptAnswer:
        name = b"P=./%s/%s\n" % (PARTIALS_DIR, entry.partial_name)
        answer = self._shell.run_script(WRITE_FUNCTIONS + self._enter_script + name + script, payload)
        if b"failed" in answer.lines and not answer.text.strip():
            raise tool_error(_("the partial file changed").encode(), entry.name)
        return answer.raise_if_failed(entry.name)


def _plan_steps(handle: int, at: int, size: int, step_size: Callable[[bytes], int]) -> Iterator[DataSegment]:
    """Yield the segments of the file from ``at`` on; an empty file is one segment."""
    begin = at
    for start, end in _find_data_ranges(handle, at, size):
        at = start
        while at < end:
            step = min(step_size(os.pread(handle, 1 << 16, at)), end - at)
            yield DataSegment(begin, at, at + step)
            begin = at = at + step
    if begin < size or not size:
        yield DataSegment(begin, size, size)


def _find_data_ranges(handle: int, at: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the data from ``at`` on; small holes count as data."""
    start = end = at
    for begin, length in list_extents(handle, size, sys.maxsize):
        if begin - end >= MIN_HOLE:
            if end > start:
                yield start, end
            start = begin
        end = max(end, begin + length)
    if size - end < MIN_HOLE:
        end = size
    if start < end:
        yield start, end


def _read_data(handle: int, at: int, size: int, checksum: Checksum) -> Iterator[bytes]:
    """Yield the data; what a file that shrank no longer has is zeros, which `describe_change` reports afterwards."""
    while size:
        data = os.pread(handle, min(size, MIB), at) or ZEROS[: min(size, MIB)]
        checksum.update(data)
        yield data
        at, size = at + len(data), size - len(data)


def _add_zeros(checksum: Checksum, size: int) -> None:
    while size:
        checksum.update(ZEROS[: min(size, MIB)])
        size -= min(size, MIB)

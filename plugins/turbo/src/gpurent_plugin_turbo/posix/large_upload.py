"""A large file to a machine without Python: its partial grows at the end, so what is there is always a beginning."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator

from attrs import define

from gpurent.api import Progress, TransferError, shown
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.push.push_queue import text
from gpurent_plugin_turbo.near.push.push_units import OPEN
from gpurent_plugin_turbo.near.push.scan import Entry
from gpurent_plugin_turbo.posix import checksums
from gpurent_plugin_turbo.posix.checksums import Sum
from gpurent_plugin_turbo.posix.listing import SECOND
from gpurent_plugin_turbo.posix.scripts import PUT, ROOM, inside, quoted, split
from gpurent_plugin_turbo.posix.shell import Answer, Shell, trouble
from gpurent_plugin_turbo.posix.tar_batch import Means, press
from gpurent_plugin_turbo.shared.files import part_of

LEAST, PRESSED, MOST = 8 * MIB, 16 * MIB, 256 * MIB  # bytes of one step
HOLE = MIB  # from here a hole is left out, else its zeros are sent
ZEROS = bytes(MIB)


@define
class Step:
    """Data from ``at`` to ``end``, behind a hole that begins where the partial ends now."""

    begin: int
    at: int
    end: int


class Sender:
    """One file after the other."""

    def __init__(self, shell: Shell, progress: Progress, go: bytes, means: Means) -> None:
        self._shell, self._progress, self._go, self._means = shell, progress, go, means
        self.resumed = 0

    def send(self, entry: Entry, there: int) -> str:
        """Why it could not be sent; empty when it was. ``there``: how much its partial holds."""
        why = self._once(entry, there)
        if why and (fresh := _again(entry)) is not None:
            why = self._once(fresh, 0)
        return why

    def _once(self, entry: Entry, there: int) -> str:
        try:
            handle = os.open(entry.path, OPEN)
        except OSError as error:
            return f"vanished while it was read: {error.strerror}"
        try:
            if why := _changed(entry, handle):
                return why
            answer = Answer((b"bad",), b"")
            for left in (1, 0):
                made, at = self._prefix(entry, handle, there)
                for step in _steps(handle, at, entry.size, self._length):
                    self._step(entry, handle, step, made)
                if why := _changed(entry, handle):
                    self._ask(entry, b'rm -f "$P"\n')
                    return why
                answer = self._settle(entry, made.word())
                if b"bad" not in answer.words:
                    break
                if not left:
                    raise TransferError(
                        f"{shown(text(entry.name))} did not arrive as it is here", hint="Send again."
                    )
                there = 0
        finally:
            os.close(handle)
        for said in answer.all(b"lost"):
            return shown(said.split(b" ", 2)[-1].decode("utf-8", "replace"))
        self._progress.file_done(text(entry.name))
        return ""

    def _prefix(self, entry: Entry, handle: int, there: int) -> tuple[Sum, int]:
        """The digest of what is there already, and how much that is."""
        made = checksums.fresh(self._means.sha)
        if not 0 < there <= entry.size:
            return made, 0
        theirs = self._ask(entry, b'say sum "$(sum <"$P")"; say size "$(size "$P")"\n')
        size = int(theirs.one(b"size").strip() or 0)
        good = 0 < size <= entry.size and checksums.read_into(made, handle, size)
        if not good or made.word() != theirs.one(b"sum"):
            return checksums.fresh(self._means.sha), 0
        self.resumed += size
        self._progress.advance(size, text(entry.name))
        return made, size

    def _length(self, sample: bytes) -> int:
        if self._means.presses(self._shell.rate) and press(sample) is not None:
            return PRESSED
        return int(min(max(self._shell.rate * 4, LEAST), MOST))

    def _step(self, entry: Entry, handle: int, step: Step, made: Sum) -> None:
        size = step.end - step.at
        _zeros(made, step.at - step.begin)
        payload: Iterable[bytes] = _data(handle, step.at, size, made)
        pressed = None
        if self._means.presses(self._shell.rate) and size <= PRESSED:
            whole = b"".join(payload)
            pressed = press(whole)
            payload = [whole if pressed is None else pressed]
        lines = [b"mkdir -p %s || fail\n" % ROOM]
        lines.append(b': >"$P" || fail\n' if not step.begin else b"")
        lines.append(b'[ "$(size "$P")" -eq %d ] || fail\n' % step.begin)
        if step.at > step.begin:
            lines.append(b'dd if=/dev/null of="$P" bs=1 seek=%d 2>/dev/null || fail\n' % step.at)
        if pressed is not None:
            lines.append(b'head -c %d | gzip -dc >>"$P" || fail\n' % len(pressed))
        elif size:
            lines.append(b'head -c %d >>"$P" || fail\n' % size)
        lines.append(b'[ "$(size "$P")" -eq %d ] || fail\n' % step.end)
        self._ask(entry, b"".join(lines), payload if size else ())
        self._progress.advance(step.end - step.begin, text(entry.name))

    def _settle(self, entry: Entry, word: bytes) -> Answer:
        """The partial is complete: it gets its name, if it is what was sent."""
        above, base = split(entry.name)
        lines = [
            b'[ "$(sum <"$P")" = %s ] || { rm -f "$P"; say bad; end; }\n' % word,
            b'chmod %o "$P" && stamp "$P" %s || fail\n' % (entry.mode, _stamp(entry.time)),
            b'mkdir -p "$S/0" && mv -f "$P" "$S"/0/%s || fail\n' % quoted(base),
            b'into 0 %s "$S"/0/%s\nrm -rf "$S"\n' % (inside(above), quoted(base)),
            b"rm -f %s/%s*\n" % (ROOM, _part(entry)[:20]),
        ]
        return self._ask(entry, b"".join(lines))

    def _ask(self, entry: Entry, what: bytes, payload: Iterable[bytes] = ()) -> Answer:
        name = b"P=./%s/%s\n" % (ROOM, _part(entry))
        answer = self._shell.ask(PUT + self._go + name + what + b"say done\n", payload)
        if b"failed" in answer.words and not answer.text.strip():
            raise trouble(b"its partial is not as it was left", entry.name)
        return answer.check(entry.name)


def _part(entry: Entry) -> bytes:
    return part_of(entry.name, entry.size, entry.time)


def _again(entry: Entry) -> Entry | None:
    """The same name as it is now; None: it is no file any more."""
    try:
        now = os.lstat(entry.path)
    except OSError:
        return None
    if not stat.S_ISREG(now.st_mode):
        return None
    mode = stat.S_IMODE(now.st_mode)
    return Entry(entry.kind, mode, now.st_size, now.st_mtime_ns, entry.name, entry.link, entry.path)


def _changed(entry: Entry, handle: int) -> str:
    """Why what was read is not one file as it once was."""
    try:
        for now in (os.fstat(handle), os.lstat(entry.path)):
            if (now.st_size, now.st_mtime_ns) != (entry.size, entry.time):
                return "changed while it was read"
    except OSError as error:
        return f"vanished while it was read: {error.strerror}"
    return ""


def _steps(handle: int, at: int, size: int, length: Callable[[bytes], int]) -> Iterator[Step]:
    """Of the file from ``at`` on; an empty file is one step too."""
    begin = at
    for start, end in _extents(handle, at, size):
        at = start
        while at < end:
            step = min(length(os.pread(handle, 1 << 16, at)), end - at)
            yield Step(begin, at, at + step)
            begin = at = at + step
    if begin < size or not size:
        yield Step(begin, size, size)


def _extents(handle: int, at: int, size: int) -> Iterator[tuple[int, int]]:
    """Where data is, as far as the file system tells; small holes count as data."""
    start = end = at
    while end < size:
        try:
            data = os.lseek(handle, end, os.SEEK_DATA)
            hole = min(os.lseek(handle, data, os.SEEK_HOLE), size)
        except OSError:
            data = hole = size
        if data - end >= HOLE:
            if end > start:
                yield start, end
            start = data
        end = max(hole, data)
    if start < end and start < size:
        yield start, min(end, size)


def _data(handle: int, at: int, size: int, made: Sum) -> Iterator[bytes]:
    """What a file that shrank does not have any more comes as zeros; it is not believed afterwards."""
    while size:
        data = os.pread(handle, min(size, MIB), at) or ZEROS[: min(size, MIB)]
        made.update(data)
        yield data
        at, size = at + len(data), size - len(data)


def _zeros(made: Sum, size: int) -> None:
    while size:
        made.update(ZEROS[: min(size, MIB)])
        size -= min(size, MIB)


def _stamp(stamp: int) -> bytes:
    """A time for `touch`: as seconds with a fraction, and as every one of them knows it."""
    seconds = stamp // SECOND
    try:
        date = time.strftime("%Y%m%d%H%M.%S", time.gmtime(seconds))
    except (ValueError, OverflowError):
        date = "197001010000.00"
    fine = b"%d.%09d" % (seconds, stamp % SECOND) if stamp >= 0 else b"%d" % seconds
    return fine + b" " + date.encode()

"""Runs scripts on a machine without Python: each is one command, which reads its script and answers."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Timer
from time import monotonic

from attrs import field, frozen

from gpurent.api import TransferError, TransferUnsupported, UnavailableError, escape_name
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.rate_control import MIB, BandwidthLimit
from gpurent_plugin_turbo.near.errors import printable_name, protocol_violation_error, remote_os_error
from gpurent_plugin_turbo.posix.scripts import ANSWER_MARK, END_MARK, to_one_line
from gpurent_plugin_turbo.shared.wire import ConnectionEnded, FrameStream, ProtocolViolation

WRITE_SIZE = 1 << 18
MAX_ANSWER_BYTES = 4 * MIB  # bytes of an answer other than a listing
END_COMMAND = b"say done\n"
TOOL_ERRORS = (
    (b"No space left", "ENOSPC"),
    (b"uota exceeded", "EDQUOT"),
    (b"Read-only file system", "EROFS"),
    (b"Permission denied", "EACCES"),
    (b"not permitted", "EPERM"),
    (b"File exists", "EEXIST"),
    (b"Not a directory", "ENOTDIR"),
    (b"s a directory", "EISDIR"),
    (b"cannot overwrite", "EISDIR"),
    (b"No such file", "ENOENT"),
    (b"cross-device", "EXDEV"),
)


def tool_error(text: bytes, name: bytes) -> TransferError:
    """Return what a tool printed about ``name`` as one of our errors."""
    import errno

    for words, code in TOOL_ERRORS:
        if words in text:
            return remote_os_error(getattr(errno, code), name)
    why = escape_name(text.strip()[-200:].decode("utf-8", "replace")) or _("no reason given")
    return TransferError(_("{name} failed on the machine: {why}").format(name=printable_name(name), why=why))


@contextmanager
def reporting_violations() -> Iterator[None]:
    """Turn any unexpected output of the machine into a `TransferError`."""
    try:
        yield
    except (
        ProtocolViolation,
        tarfile.TarError,
        zlib.error,
        ValueError,
        OverflowError,
        LookupError,
        RecursionError,
        EOFError,
    ) as error:
        raise protocol_violation_error(error) from None


@frozen
class ScriptAnswer:
    """Output of a script: ``lines`` after our mark, and whatever else its tools printed."""

    lines: tuple[bytes, ...]
    text: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw: bytes) -> ScriptAnswer:
        head, *marked = raw.split(ANSWER_MARK)
        parts = [piece.partition(b"\n") for piece in marked]
        return cls(tuple(part[0] for part in parts), head + b"".join(part[2] for part in parts))

    def find_all(self, word: bytes) -> list[bytes]:
        """Return what followed ``word`` on each line that starts with it."""
        start = word + b" "
        return [line[len(start) :] for line in self.lines if line.startswith(start)]

    def find_first(self, word: bytes) -> bytes:
        return next(iter(self.find_all(word)), b"")

    def raise_if_failed(self, name: bytes) -> ScriptAnswer:
        """Raise an error if the script failed, else return the answer itself."""
        if b"failed" in self.lines:
            raise tool_error(self.text, name)
        return self


class ScriptOutput:
    """Output of one script as it arrives. If it ends before the script does, the connection is to blame."""

    def __init__(self, connection: CommandConnection, limit_rate: Callable[[int], None]) -> None:
        self._connection, self._limit_rate = connection, limit_rate
        self._unread = b""
        self._tail = b""
        self.bytes_read = 0

    def read_some(self) -> bytes:
        """Return received data, at least one byte; empty at the end."""
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        data = self._connection.read_some(WRITE_SIZE)
        self.bytes_read += len(data)
        self._tail = (self._tail + data)[-len(END_MARK) :]
        self._limit_rate(len(data))
        return data

    def unread(self, data: bytes) -> None:
        """Make the next `read_some` return ``data``; only one piece of data can be unread at a time."""
        self._unread = data

    def read_until(self, word: bytes, most: int = MAX_ANSWER_BYTES) -> bytes:
        """Return everything before the marked line ``word``."""
        mark, seen, at = ANSWER_MARK + word + b"\n", bytearray(), -1
        while at < 0:
            data = self.read_some()
            if not data:
                self.raise_if_cut()
                raise tool_error(ScriptAnswer.parse(bytes(seen)).text, _("the transfer").encode())
            seen += data
            at = seen.find(mark, max(0, len(seen) - len(data) - len(mark)))
            _check_size(len(seen), most)
        self.unread(bytes(seen[at + len(mark) :]))
        return bytes(seen[:at])

    def read_rest(self, most: int = MAX_ANSWER_BYTES) -> bytes:
        """Return everything up to the end; raises an error if the script did not finish."""
        seen = bytearray()
        while data := self.read_some():
            seen += data
            _check_size(len(seen), most)
        self.raise_if_cut()
        return bytes(seen)

    def skip_rest(self) -> None:
        """Discard everything up to the end; raises an error if the script did not finish."""
        while self.read_some():
            pass
        self.raise_if_cut()

    def raise_if_cut(self) -> None:
        if self._tail != END_MARK:
            why = self._connection.explain_end()
            if isinstance(why, TransferUnsupported) and not why.detail:
                raise TransferUnsupported(_("the machine has neither python3 nor sh, tar and head"))
            raise why


class PosixShell:
    """Runs scripts one at a time; `stop` ends it from any thread. ``limit``: bytes per second, 0 for none."""

    def __init__(self, open_connection: Callable[[bool], CommandConnection], limit: int = 0) -> None:
        self._open_connection, self._bandwidth = open_connection, BandwidthLimit(limit)
        self._connection: CommandConnection | None = None
        self._stopped = Event()
        self.bytes_sent = self.bytes_read = 0
        self.rate = 0.0  # bytes per second of the last large payload

    def stop(self) -> None:
        self._stopped.set()
        if self._connection is not None:
            self._connection.abort()

    def run_script(
        self, script: bytes, payload: Iterable[bytes] = (), *, most: int = MAX_ANSWER_BYTES
    ) -> ScriptAnswer:
        """Run the script to its end and return its output."""
        with self.open_script(script, payload) as output:
            return ScriptAnswer.parse(output.read_rest(most))

    @contextmanager
    def open_script(self, script: bytes, payload: Iterable[bytes] = ()) -> Iterator[ScriptOutput]:
        """Run a script with ``payload`` as its input. Without a payload, a silent machine is given up after a while."""
        connection = self._connection = self._open_connection(True)
        timer = connection.make_handshake_timer()
        output = ScriptOutput(connection, self._limit_rate)
        try:
            if self._stopped.is_set():
                raise UnavailableError(_("the transfer was stopped"), retryable=True)
            self._send_script(connection.frames, to_one_line(script + END_COMMAND), payload, timer)
            output.unread(output.read_some())
            timer.cancel()
            yield output
        finally:
            timer.cancel()
            self.bytes_read += output.bytes_read
            self._connection = None
            connection.close()

    def _send_script(self, frames: FrameStream, line: bytes, payload: Iterable[bytes], timer: Timer) -> None:
        """Send the script. A machine that stops reading has already said why, so that is no error here."""
        started_at, size, waits = monotonic(), 0, True
        try:
            frames.write(line)
            for data in payload:
                waits = False
                for at in range(0, len(data), WRITE_SIZE):
                    piece = data[at : at + WRITE_SIZE]
                    self._limit_rate(len(piece))
                    frames.write(piece)
                    size += len(piece)
        except ConnectionEnded:
            pass
        if waits:
            timer.start()
        self.bytes_sent += size
        if size > MIB:
            self.rate = size / (monotonic() - started_at)

    def _limit_rate(self, size: int) -> None:
        if (seconds := self._bandwidth.reserve(size)) > 0:
            self._stopped.wait(seconds)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise TransferError(_("the machine sent more data than requested"))

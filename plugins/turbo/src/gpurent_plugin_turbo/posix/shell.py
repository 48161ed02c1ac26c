"""Scripts on a machine without Python: each is one command of its own, told on its input, answered on its output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Timer
from time import monotonic
from typing import Any, cast

from attrs import field, frozen

from gpurent.api import GpurentError, TransferError, TransferUnsupported, UnavailableError, shown
from gpurent_plugin_turbo.near.connection import stream_pool
from gpurent_plugin_turbo.near.connection.rate_control import MIB, Throttle
from gpurent_plugin_turbo.near.connection.ssh_process import Wire
from gpurent_plugin_turbo.near.errors import refused
from gpurent_plugin_turbo.posix import scripts
from gpurent_plugin_turbo.posix.scripts import DONE, MARK
from gpurent_plugin_turbo.shared.errors import Broken, Ended
from gpurent_plugin_turbo.shared.wire import Line

PIECE = 1 << 18
SAID = 4 * MIB  # bytes of an answer that is no listing
TROUBLES = (
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


def trouble(text: bytes, name: bytes) -> TransferError:
    """What a tool said about ``name``, in our words."""
    import errno

    for words, code in TROUBLES:
        if words in text:
            return refused(getattr(errno, code), name)
    said = shown(text.strip()[-200:].decode("utf-8", "replace")) or "it does not say why"
    return TransferError(f"{shown(name.decode('utf-8', 'surrogateescape'))} failed on the machine: {said}")


@contextmanager
def believed() -> Iterator[None]:
    """Whatever a machine says that it may not say is a `TransferError`."""
    try:
        yield
    except (Broken, ValueError, LookupError, OverflowError) as error:
        raise TransferError(f"the machine says what it may not say: {error}") from None


@frozen
class Answer:
    """What a script said: words after our mark, and whatever its tools said besides."""

    words: tuple[bytes, ...]
    text: bytes = field(repr=False)

    @classmethod
    def of(cls, raw: bytes) -> Answer:
        head, *said = raw.split(MARK)
        lines = [piece.partition(b"\n") for piece in said]
        return cls(tuple(line[0] for line in lines), head + b"".join(line[2] for line in lines))

    def all(self, word: bytes) -> list[bytes]:
        """What followed ``word``, each time that it was said."""
        start = word + b" "
        return [said[len(start) :] for said in self.words if said.startswith(start)]

    def one(self, word: bytes) -> bytes:
        return next(iter(self.all(word)), b"")

    def check(self, name: bytes) -> Answer:
        """Itself, unless the script failed."""
        if b"failed" in self.words:
            raise trouble(self.text, name)
        return self


class Talk:
    """One command's output, as it comes. The end of the line before the script's own is the line's fault."""

    def __init__(self, wire: Wire, throttle: Callable[[int], None]) -> None:
        self._wire, self._throttle = wire, throttle
        self._held = b""
        self._tail = b""
        self.read_bytes = 0

    def some(self) -> bytes:
        """What has come, at least a byte; nothing at the end."""
        if self._held:
            held, self._held = self._held, b""
            return held
        data = _some(self._wire.line)
        self.read_bytes += len(data)
        self._tail = (self._tail + data)[-len(DONE) :]
        self._throttle(len(data))
        return data

    def until(self, word: bytes, most: int = SAID) -> bytes:
        """Everything before ``word`` is said."""
        mark, seen, at = MARK + word + b"\n", bytearray(), -1
        while at < 0:
            data = self.some()
            if not data:
                self.check()
                raise trouble(Answer.of(bytes(seen)).text, b"the transfer")
            seen += data
            at = seen.find(mark, max(0, len(seen) - len(data) - len(mark)))
            if len(seen) > most:
                raise TransferError("the machine says more than it was asked for")
        self._held = bytes(seen[at + len(mark) :])
        return bytes(seen[:at])

    def rest(self, most: int = SAID) -> bytes:
        """Everything to the end, which the script itself has reached."""
        seen: list[bytes] = []
        size = 0
        while data := self.some():
            seen.append(data)
            size += len(data)
            if size > most:
                raise TransferError("the machine says more than it was asked for")
        self.check()
        return b"".join(seen)

    def drain(self) -> bool:
        """Whether the script came to its end, whatever is still to be read."""
        while self.some():
            pass
        return self._tail == DONE

    def check(self) -> None:
        if self._tail != DONE:
            raise _why(self._wire)


class Shell:
    """Runs one script after the other; `stop` ends it from any thread. ``limit``: bytes a second, 0 for none."""

    def __init__(self, dial: Callable[[], Wire], limit: int = 0) -> None:
        self._dial, self._throttle = dial, Throttle(limit)
        self._wire: Wire | None = None
        self._stopped = Event()
        self.sent = self.read = 0  # bytes of data over the line
        self.rate = 0.0  # bytes a second of the last large payload

    def stop(self) -> None:
        self._stopped.set()
        if self._wire is not None:
            self._wire.end()

    def ask(self, script: bytes, payload: Iterable[bytes] = (), *, most: int = SAID) -> Answer:
        """What the script said to its end."""
        with self.talk(script, payload) as talk:
            return Answer.of(talk.rest(most))

    @contextmanager
    def talk(self, script: bytes, payload: Iterable[bytes] = ()) -> Iterator[Talk]:
        """A script that takes ``payload`` on its input. Without one a silent machine is given up."""
        wire = self._wire = self._dial()
        mute = Timer(stream_pool.GREETING, wire.end)
        mute.daemon = True
        talk = Talk(wire, self._pause)
        try:
            if self._stopped.is_set():
                raise UnavailableError("the transfer was stopped", retryable=True)
            self._tell(wire.line, scripts.line(script), payload, mute)
            talk._held = talk.some()
            mute.cancel()
            yield talk
        finally:
            mute.cancel()
            self.read += talk.read_bytes
            self._wire = None
            wire.close()

    def _tell(self, line: Line, script: bytes, payload: Iterable[bytes], mute: Timer) -> None:
        """A machine that takes no more has more to say: why."""
        begun, size, waits = monotonic(), 0, True
        try:
            line._write(script)
            for data in payload:
                waits = False
                for at in range(0, len(data), PIECE):
                    piece = data[at : at + PIECE]
                    self._pause(len(piece))
                    line._write(piece)
                    size += len(piece)
        except Ended:
            pass
        if waits:
            mute.start()
        self.sent += size
        if size > MIB:
            self.rate = size / (monotonic() - begun)

    def _pause(self, size: int) -> None:
        if (seconds := self._throttle.wait(size)) > 0:
            self._stopped.wait(seconds)


def _some(line: Line) -> bytes:
    if line.source < 0:
        return bytes(cast(Any, line).some())
    import os

    try:
        return os.read(line.source, PIECE)
    except OSError:
        return b""


def _why(wire: Wire) -> GpurentError:
    why = wire.why()
    if isinstance(why, TransferUnsupported):
        return TransferUnsupported(
            "the machine has no python3, and not sh, tar and head either", detail=why.detail
        )
    return why

"""A command that runs until the user ends it: its output is read while it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from attrs import define, field

from gpurent.testing.load_timeouts import LoadDeadline
from tests.command_line import get_warm_process

SECONDS = 10
POLL_SECONDS = 0.02


@define(eq=False)
class StartedCommand:
    """``out``: what it has printed so far; ``code``: its exit code once it has ended, None if it was killed."""

    pid: int
    _stream: int
    _errors: BinaryIO
    _end: Any
    out: str = ""
    code: int | None = None
    _has_ended: bool = field(default=False)

    @property
    def err(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    async def wait_for_text(self, *wanted: str) -> bool:
        """Return whether it prints one of the texts within a while; False as soon as it ends without."""
        deadline = LoadDeadline(SECONDS)
        while not any(text in self.out for text in wanted) and not deadline.is_over:
            if self._read() == "closed":
                break
            await asyncio.sleep(POLL_SECONDS)
        return any(text in self.out for text in wanted)

    async def wait(self) -> int | None:
        """Return its exit code; after a while it is killed, and has none."""
        deadline = LoadDeadline(SECONDS)
        while not self._has_ended and not deadline.is_over:
            self._read()
            if text := self._end.readline():
                self._has_ended, self.code = True, int(text)
            await asyncio.sleep(POLL_SECONDS)
        if not self._has_ended:
            self.kill()
        return self.code

    def press(self, keys: bytes) -> None:
        os.write(self._stream, keys)

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _read(self) -> str:
        """Take what has been printed; "closed" at the end."""
        try:
            data = os.read(self._stream, 65536)
        except BlockingIOError:
            return ""
        except OSError:  # what a terminal says when its last process has ended
            return "closed"
        self.out += data.decode(errors="replace")
        return "" if data else "closed"


@contextmanager
def started_command(
    arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, *, has_terminal: bool
) -> Iterator[StartedCommand]:
    """Start ``gpurent``; it is killed at the end of the block, if it has not ended by then."""
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        ours, theirs = os.openpty() if has_terminal else os.pipe()
        stack.callback(os.close, ours)
        os.set_blocking(ours, False)
        with ExitStack() as handed:
            handed.callback(os.close, theirs)
            silent = os.open(os.devnull, os.O_RDONLY)
            handed.callback(os.close, silent)
            streams = [theirs] * 3 if has_terminal else [silent, theirs, errors.fileno()]
            process = get_warm_process("en")
            starting = process.start(arguments, environment, folder, streams, {})
            pid, end = stack.enter_context(starting)
        os.set_blocking(end.fileno(), False)
        command = StartedCommand(pid, ours, errors, end)
        stack.callback(command.kill)
        yield command

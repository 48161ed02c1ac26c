"""The other side of a terminal that this process takes as its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import pytest
from attrs import define

from gpurent.testing.load_timeouts import wait_within


@define
class UserScreen:
    """The other side of the terminal that this process has as its own."""

    handle: int
    streams: Sequence[TextIO]
    monkeypatch: pytest.MonkeyPatch
    seen: bytes = b""

    def take(self) -> None:
        """Make it the terminal of this process, which pytest has given others until the test begins."""
        for name, stream in zip(("stdin", "stdout", "stderr"), self.streams, strict=True):
            self.monkeypatch.setattr(sys, name, stream)

    async def wait_for(self, word: str) -> None:
        async def read() -> None:
            while word.encode() not in self.seen:
                self.seen += await asyncio.to_thread(os.read, self.handle, 4096)

        await wait_within(15, read())

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(os.getpid(), signal.SIGWINCH)


@contextmanager
def open_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[UserScreen]:
    """Give this process a terminal of 90 columns, although variables say 80."""
    master, slave = pty.openpty()
    streams = [os.fdopen(os.dup(slave), mode) for mode in ("r", "w", "w")]
    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    made = UserScreen(master, streams, monkeypatch)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    yield made
    for stream in streams:
        stream.close()
    os.close(slave)
    os.close(master)

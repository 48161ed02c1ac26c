"""The user's terminal on Windows: raw input, hidden input, its size, and the signals that stop a command."""

from __future__ import annotations

import asyncio
import codecs
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from gpurent.infra.platform.windows import api

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone

# Ctrl-C, Ctrl-Break and a window that is closed; of TerminateProcess nobody is told.
STOP_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGBREAK)
USUAL_TERMINAL_TYPE = "xterm-256color"  # what Windows' terminals understand
_PROCESSED_INPUT, _LINE_INPUT, _ECHO_INPUT, _VIRTUAL_INPUT = 0x1, 0x2, 0x4, 0x200
_PROCESSED_OUTPUT, _VIRTUAL_OUTPUT, _NO_AUTO_RETURN = 0x1, 0x4, 0x8
_END_OF_INPUT = "\x1a"  # Ctrl-Z
_SIZE_SECONDS = 0.5


@contextmanager
def handle_stop_signals(stop: Callable[[int], object]) -> Iterator[None]:
    """Call ``stop`` with the number of a signal in the running event loop, instead of what it does else."""
    loop = asyncio.get_running_loop()
    taken = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {
        number: signal.signal(number, lambda given, _frame: loop.call_soon_threadsafe(stop, given))
        for number in taken
    }
    # A loop that waits for sockets alone would look at signals only when one of them wakes it.
    beat = loop.create_task(_wake_up())
    try:
        yield
    finally:
        beat.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


async def _wake_up() -> None:
    while True:  # noqa: ASYNC110 - that it wakes up is all that it does
        await asyncio.sleep(_SIZE_SECONDS)


@contextmanager
def _console_mode(file: int, *, off: int, on: int = 0) -> Iterator[None]:
    """Change bits of a console's mode, and always restore them; what is no console is left as it is."""
    before = api.get_console_mode(file)
    if before is None:
        yield
        return
    api.set_console_mode(file, before & ~off | on)
    try:
        yield
    finally:
        api.set_console_mode(file, before)


@contextmanager
def raw_terminal(file: int) -> Iterator[None]:
    """Hand on every key as a terminal sends it, and show what a program draws; always restored."""
    drawing = _PROCESSED_OUTPUT | _VIRTUAL_OUTPUT | _NO_AUTO_RETURN
    with (
        _console_mode(1, off=0, on=drawing),
        _console_mode(file, off=_PROCESSED_INPUT | _LINE_INPUT | _ECHO_INPUT, on=_VIRTUAL_INPUT),
    ):
        yield


@contextmanager
def hide_input(file: int) -> Iterator[None]:
    """Turn echo off while something secret is typed."""
    with _console_mode(file, off=_ECHO_INPUT):
        yield


class _InputThread:
    """Reads one piece at a time in a thread of its own, which nothing can interrupt: what comes later is kept."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._is_reading = False
        self._kept: bytes | OSError | None = None
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[bytes]] | None = None

    async def read(self, most: int) -> bytes:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[bytes] = loop.create_future()
        with self._lock:
            kept, self._kept = self._kept, None
            if isinstance(kept, OSError):
                raise kept
            if kept is not None:
                return kept
            self._waiter = (loop, arrived)
            if not self._is_reading:
                self._is_reading = True
                threading.Thread(target=self._run, args=(most,), daemon=True).start()
        try:
            return await arrived
        finally:
            with self._lock:
                self._waiter = None

    def _run(self, most: int) -> None:
        found: bytes | OSError
        try:
            found = _read_piece(self._file, most)
        except OSError as error:
            found = error
        with self._lock:
            self._is_reading = False
            if self._waiter is None:
                self._kept = found
                return
            loop, arrived = self._waiter
            loop.call_soon_threadsafe(self._hand_over, arrived, found)

    def _hand_over(self, arrived: asyncio.Future[bytes], found: bytes | OSError) -> None:
        if arrived.done():
            with self._lock:
                self._kept = found
        elif isinstance(found, OSError):
            arrived.set_exception(found)
        else:
            arrived.set_result(found)


_input_threads: dict[int, _InputThread] = {}


async def read_input(file: int, most: int) -> bytes:
    """Return the next input, none at its end; if this is cancelled, nothing is lost."""
    return await _input_threads.setdefault(file, _InputThread(file)).read(most)


def _read_piece(file: int, most: int) -> bytes:
    mode = api.get_console_mode(file)
    if mode is None:
        return os.read(file, most)
    text = ""
    while not text:  # nothing: Ctrl-C was typed, and the handler of the signal decides
        text = api.read_console(file, min(most, 8192))
    if mode & _LINE_INPUT and text.startswith(_END_OF_INPUT):
        return b""
    return text.encode("utf-8", "surrogatepass")


@contextmanager
def watch_size(resize: Callable[[int, int], object]) -> Iterator[None]:
    """Call ``resize`` with the columns and lines of the terminal whenever they change."""

    async def watch() -> None:
        known = shutil.get_terminal_size()
        while True:
            await asyncio.sleep(_SIZE_SECONDS)
            found = shutil.get_terminal_size()
            if found != known:
                known = found
                resize(*found)

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


class TerminalOutput:
    """Stdout (1) or stderr (2), for the bytes of a program that has its own idea of the terminal."""

    def __init__(self, file: int) -> None:
        self._stream: TextIO = sys.stdout if file == 1 else sys.stderr
        self._is_console = api.get_console_mode(file) is not None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        if self._is_console:
            self._stream.write(self._decoder.decode(data))
        else:
            self._stream.flush()
            self._stream.buffer.write(data)
        self._stream.flush()

"""The user's terminal on Linux and macOS: raw input, hidden input, its size, and the signals that stop a command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows

STOP_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
USUAL_TERMINAL_TYPE = "xterm"


@contextmanager
def handle_stop_signals(stop: Callable[[int], object]) -> Iterator[None]:
    """Call ``stop`` with the number of a signal in the running event loop, instead of what it does else."""
    loop = asyncio.get_running_loop()
    # What was ignored at the start stays ignored: `nohup`, a background job of a script.
    taken = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in taken:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


@contextmanager
def raw_terminal(file: int) -> Iterator[None]:
    """Put the terminal into raw mode, and always restore it; what is no terminal is left as it is."""
    if not os.isatty(file):
        yield
        return
    before = termios.tcgetattr(file)
    try:
        tty.setraw(file)
        yield
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


@contextmanager
def hide_input(file: int) -> Iterator[None]:
    """Turn echo off while something secret is typed."""
    before = termios.tcgetattr(file)
    silent = [*before]
    silent[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(file, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(file, termios.TCSAFLUSH, before)


async def read_input(file: int, most: int) -> bytes:
    """Return the next input, none at its end; if this is cancelled, nothing is lost.

    It is read in the event loop's own callback: later, reading might block.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def take() -> None:
        loop.remove_reader(file)
        try:
            arrived.set_result(os.read(file, most))
        except OSError as error:
            arrived.set_exception(error)

    try:
        loop.add_reader(file, take)
    except PermissionError:  # a regular file cannot be polled, and need not be
        return await asyncio.to_thread(os.read, file, most)
    try:
        return await arrived
    finally:
        loop.remove_reader(file)


def _read_size() -> tuple[int, int]:
    """Return columns and lines of the terminal itself: COLUMNS and LINES stay as they are when it is resized."""
    try:
        size = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return (80, 24)
    return (size.columns, size.lines)


@contextmanager
def watch_size(resize: Callable[[int, int], object]) -> Iterator[None]:
    """Call ``resize`` with the columns and lines of the terminal whenever they change."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, lambda: resize(*_read_size()))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


class TerminalOutput:
    """Stdout (1) or stderr (2), for the bytes of a program that has its own idea of the terminal."""

    def __init__(self, file: int) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

"""The user's terminal, attached to a program on a machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Protocol

import asyncssh
from attrs import define, field

from gpurent.infra.platform.terminal import TerminalOutput, raw_terminal, read_input, watch_size
from gpurent.locale import N_, _

START_GRACE = 4.0
END_GRACE = 10.0
"""Seconds without output after the program's end, before the end of its output is waited for no more."""
_POLL_INTERVAL = 0.1
_NOT_BEGUN = N_(
    "The machine's start file (such as ~/.bashrc) has not come to the command yet. If it waits for a line, press "
    "Enter; if it has opened something else, leave that."
)
_LEFT_OPEN = N_(
    "The command has ended. A process that it left behind holds its output open, and is not waited for."
)
_MAX_INPUT_BYTES = 65536


def read_terminal_size() -> tuple[int, int]:
    """Return columns and rows of the terminal itself: COLUMNS and LINES stay as they are when it is resized."""
    try:
        size = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return (80, 24)
    return (size.columns, size.lines)


class Source(Protocol):
    """Bytes as they arrive."""

    async def read(self, n: int) -> bytes: ...


class Sink(Protocol):
    """One side of the terminal."""

    def write(self, data: bytes) -> None: ...


@define
class Output:
    """What comes from the machine: up to ``mark``, it is the start files' and goes to ``noise``.

    ``at``: the time of the loop at which something came last.
    """

    mark: bytes
    noise: Sink
    at: float
    has_begun: bool = field(init=False)
    _held: bytes = b""

    def __attrs_post_init__(self) -> None:
        self.has_begun = not self.mark

    async def forward_all(self, process: asyncssh.SSHClientProcess[bytes], output: Sink) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.forward_marked(process.stdout, output))
            group.create_task(self.forward(process.stderr, self.noise))

    async def forward(self, stream: Source, output: Sink) -> None:
        while chunk := await stream.read(65536):
            output.write(chunk)
            self.at = asyncio.get_running_loop().time()

    async def forward_marked(self, stream: Source, output: Sink) -> None:
        while not self.has_begun and (chunk := await stream.read(65536)):
            before, mark, after = (self._held + chunk).partition(self.mark)
            self.has_begun = bool(mark)
            kept = 0 if mark else self._count_mark_bytes(before)
            self._held = before[len(before) - kept :]
            self.noise.write(before[: len(before) - kept])
            output.write(after)
        self.noise.write(self._held)
        await self.forward(stream, output)

    def _count_mark_bytes(self, data: bytes) -> int:
        """Return how many bytes at the end of ``data`` may be the beginning of the mark."""
        return next(size for size in range(len(self.mark) - 1, -1, -1) if data.endswith(self.mark[:size]))


async def attach_terminal(process: asyncssh.SSHClientProcess[bytes], mark: bytes = b"") -> bool:
    """Attach our terminal to ``process`` until it ends, or the connection is dropped; return whether ``mark`` has come.

    What a start file or the program leaves behind may hold the output open for ever: that is not waited for.
    """
    stdin = sys.stdin.fileno()
    errors = TerminalOutput(sys.stderr.fileno())
    with contextlib.ExitStack() as held:
        if os.isatty(stdin):
            held.enter_context(watch_size(process.change_terminal_size))
        held.enter_context(raw_terminal(stdin))
        output = Output(mark, errors, asyncio.get_running_loop().time())
        reading = asyncio.ensure_future(output.forward_all(process, TerminalOutput(sys.stdout.fileno())))
        ending = asyncio.ensure_future(_wait_for_end(process, output))
        feeding = asyncio.ensure_future(_forward_input(process, stdin))
        explaining = asyncio.ensure_future(_explain_wait(output))
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                await process.wait_closed()
            else:
                output.noise.write(_make_line(_LEFT_OPEN))
                process.close()
        finally:
            for task in (reading, ending, feeding, explaining):
                task.cancel()
    return output.has_begun


async def _wait_for_end(process: asyncssh.SSHClientProcess[bytes], output: Output) -> None:
    """Wait until the program has ended, and then until nothing comes."""
    get_time = asyncio.get_running_loop().time
    while process.exit_status is None:  # noqa: ASYNC110 - the library tells nobody
        await asyncio.sleep(_POLL_INTERVAL)
    ended_at = get_time()
    while get_time() - max(ended_at, output.at) < END_GRACE:  # noqa: ASYNC110 - it moves
        await asyncio.sleep(_POLL_INTERVAL)


async def _explain_wait(output: Output) -> None:
    await asyncio.sleep(START_GRACE)
    if not output.has_begun:
        output.noise.write(_make_line(_NOT_BEGUN))


def _make_line(text: str) -> bytes:
    """Return a line for a terminal in raw mode."""
    return f"\r\n{_(text)}\r\n".encode()


async def _forward_input(process: asyncssh.SSHClientProcess[bytes], file: int) -> None:
    try:
        while data := await read_input(file, _MAX_INPUT_BYTES):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, asyncssh.Error):
        return

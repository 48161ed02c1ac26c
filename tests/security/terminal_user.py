"""A user at a terminal: commands in a pseudo-terminal, and everything that came out of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import tempfile
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from gpurent.testing.load_timeouts import wait_within
from tests.command_line import get_warm_process
from tests.workflow.trip_sandbox import TripSandbox

LINES, COLUMNS = 50, 120
MAX_SECONDS = 60


@frozen
class Screen:
    """One command, its exit code, and what it wrote to the terminal."""

    arguments: tuple[str, ...]
    code: int
    text: str


@define(eq=False)
class TerminalUser:
    """Types ``gpurent`` commands; ``environment`` is added to that of the sandbox."""

    sandbox: TripSandbox
    environment: Mapping[str, str]
    screens: list[Screen] = Factory(list)

    async def type_command(
        self,
        *arguments: str,
        input_text: str = "",
        folder: Path | None = None,
        fails_at: tuple[str, int] | None = None,
        seconds: float = MAX_SECONDS,
    ) -> Screen:
        """Run a command with the terminal as stdout and stderr, and as stdin unless there is ``input_text``.

        ``fails_at``: kind and number of a point (`tests.reliability.kill_points`) at which something fails that
        nobody foresaw.
        """
        environment = {**self.sandbox.environment(), **self.environment}
        points: dict[str, object] = {}
        if fails_at is not None:
            points["kill"] = {"kind": fails_at[0], "number": fails_at[1], "what": "fail"}
        main, second = os.openpty()
        fcntl.ioctl(second, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        with tempfile.TemporaryFile() as stdin:
            stdin.write(input_text.encode())
            stdin.seek(0)
            streams = [stdin.fileno() if input_text else second, second, second]
            process = get_warm_process(self.environment["GPURENT_LANG"])
            with process.start(arguments, environment, folder or self.sandbox.home, streams, points) as (
                _pid,
                end,
            ):
                os.close(second)
                shown, code = await wait_within(seconds, _read_until_end(main, end))
        os.close(main)
        screen = Screen(arguments, code, shown.decode("utf-8", "replace"))
        self.screens.append(screen)
        return screen


async def _read_until_end(main: int, end: Any) -> tuple[bytes, int]:
    """Return all bytes of the terminal, and the exit code that ``end`` is told."""
    reading = asyncio.ensure_future(asyncio.to_thread(_read_all, main))
    code = await asyncio.to_thread(end.readline)
    return await reading, int(code)


def _read_all(main: int) -> bytes:
    chunks: list[bytes] = []
    with suppress(OSError):  # nobody writes any longer
        while chunk := os.read(main, 65536):
            chunks.append(chunk)
    return b"".join(chunks)

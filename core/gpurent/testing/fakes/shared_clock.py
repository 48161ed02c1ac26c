"""A manual clock shared by several processes: advancing it in one advances it for all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gpurent.testing.fakes.clock import ManualClock


class SharedClockClient(ManualClock):
    """Shows and advances the clock that another process shares at ``path`` with `share_clock`.

    It asks for the shared time only when `advance` is called: until then, it does not see what others advanced.
    """

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(str(path))
        super().__init__(self._exchange(timedelta()))

    def advance(self, span: timedelta) -> None:
        super().advance(self._exchange(max(span, timedelta())) - self.now())

    def _exchange(self, span: timedelta) -> datetime:
        """Send ``span``, by which the shared clock advances, and return the time that it answers."""
        self._server.sendall(f"{span / timedelta(microseconds=1):.0f}\n".encode())
        with self._server.makefile() as answers:
            return datetime.fromisoformat(answers.readline().strip())


@asynccontextmanager
async def share_clock(clock: ManualClock, path: Path) -> AsyncIterator[None]:
    """Share ``clock`` with the `SharedClockClient` of other processes at ``path``, a Unix socket, within the block.

    Raises `ValueError` if its time is not in UTC.
    """
    if clock.now().tzinfo is not UTC:
        raise ValueError("the time of a shared clock must be in UTC")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            clock.advance(timedelta(microseconds=int(line)))
            writer.write(f"{clock.now().isoformat()}\n".encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield

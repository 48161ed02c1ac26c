"""A manual clock shared by several processes: advancing it in one advances it for all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gpurent.testing.fakes.clock import ManualClock


class SharedClock(ManualClock):
    """Client of the clock that another process shares at ``path``.

    It is not notified when another process advances it.
    """

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(str(path))
        super().__init__(self._advance_server(timedelta()))

    def advance(self, span: timedelta) -> None:
        super().advance(self._advance_server(max(span, timedelta())) - self.now())

    def _advance_server(self, span: timedelta) -> datetime:
        """Advance the shared clock by ``span`` and return its time."""
        self._server.sendall(f"{span / timedelta(microseconds=1):.0f}\n".encode())
        with self._server.makefile() as answers:
            return datetime.fromisoformat(answers.readline().strip())


@asynccontextmanager
async def share_clock(clock: ManualClock, path: Path) -> AsyncIterator[None]:
    """Share ``clock`` with other processes at ``path`` while the block runs.

    Raises ``ValueError`` if it is not in UTC.
    """
    if clock.now().tzinfo is not UTC:
        raise ValueError("a shared clock shows UTC")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            clock.advance(timedelta(microseconds=int(line)))
            writer.write(f"{clock.now().isoformat()}\n".encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield

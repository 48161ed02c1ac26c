"""One manual clock in several processes: whoever moves it moves it for all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gpurent.testing.fakes.clock import ManualClock


class SharedClock(ManualClock):
    """The clock that is shared at ``path``, in another process. It does not hear when somebody else moves it."""

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(str(path))
        super().__init__(self._advance_server(timedelta()))

    def advance(self, span: timedelta) -> None:
        super().advance(self._advance_server(max(span, timedelta())) - self.now())

    def _advance_server(self, span: timedelta) -> datetime:
        """What it shows when it was moved by ``span``."""
        self._server.sendall(f"{span / timedelta(microseconds=1):.0f}\n".encode())
        with self._server.makefile() as answers:
            return datetime.fromisoformat(answers.readline().strip())


@asynccontextmanager
async def share_clock(clock: ManualClock, path: Path) -> AsyncIterator[None]:
    """``clock`` for other processes, as long as the block runs. It must show UTC."""
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

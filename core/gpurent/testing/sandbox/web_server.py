"""HTTP servers of the sandbox: one ASGI application on one free loopback port each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

GRACE_SECONDS = 1.0
"""Seconds that a request in flight may still take when its server closes."""


class _EventServer(uvicorn.Server):
    """A uvicorn server that leaves signals alone, and starts and stops on events where uvicorn polls every 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready_event = asyncio.Event()
        self.stop_event = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready_event.set()

    async def main_loop(self) -> None:
        await self.stop_event.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _done, late = await asyncio.wait(self.server_state.tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for server in self.servers:
            await server.wait_closed()


class WebServer:
    """Serves ``app`` until closed; ``url`` is known from the start.

    ``keep_alive``: seconds that an idle connection stays open.
    """

    def __init__(self, app: Any, port: int = 0, keep_alive: int = 5) -> None:
        self._socket = _open_listener(port)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            log_level="error",
            lifespan="off",
            access_log=False,
            ws="none",
            date_header=False,
            timeout_keep_alive=keep_alive,
        )
        self._server = _EventServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        ready = asyncio.create_task(self._server.ready_event.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        self._server.stop_event.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._socket.close()


def _open_listener(port: int) -> socket.socket:
    """Return a listening socket.

    Its protocol is explicit: only then does asyncio disable Nagle, which costs 40 ms per response.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(128)
    except OSError:
        made.close()
        raise
    return made

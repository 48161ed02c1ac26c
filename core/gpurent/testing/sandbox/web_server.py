"""HTTP servers of the sandbox: one ASGI application on one free loopback port each, for the sandbox's user alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpurent.testing.sandbox.foreign_pages import OwnPagesOnly
from gpurent.testing.sandbox.local_ports import bind_listener, stop_listening
from gpurent.testing.sandbox.peers import is_own_peer
from gpurent.testing.sandbox.service_faults.http_gate import ABORT_EXTENSION

BACKLOG = 128
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

    async def listen(self, listener: socket.socket) -> None:
        """Accept connections from ``listener``, as at the start."""
        make_protocol = partial(
            _AbortableProtocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers.append(await asyncio.get_running_loop().create_server(make_protocol, sock=listener))

    def stop_listening(self) -> None:
        """Accept no more connections; those that are idle, or become so, are closed."""
        while self.servers:
            self.servers.pop().close()
        for connection in list(self.server_state.connections):
            connection.shutdown()

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


class _AbortableProtocol(H11Protocol):
    """Serves the sandbox's user alone; lets the application reset its connection, through an extension of the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not is_own_peer(transport.get_extra_info("socket")):
            transport.abort()
            return
        self.app = partial(_call_with_abort, self.app, partial(_reset_connection, transport))


async def _call_with_abort(
    app: Callable[..., Awaitable[None]],
    abort: Callable[[], None],
    scope: MutableMapping[str, Any],
    receive: Any,
    send: Any,
) -> None:
    scope["extensions"] = {ABORT_EXTENSION: abort}
    await app(scope, receive, send)


def _reset_connection(transport: asyncio.Transport) -> None:
    end = transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class WebServer:
    """Serves ``app`` until closed; ``url`` is known from the start.

    ``keep_alive``: seconds that an idle connection stays open.
    """

    def __init__(self, app: Any, port: int = 0, keep_alive: int = 5) -> None:
        self._socket = bind_listener(port)
        self._socket.listen(BACKLOG)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            OwnPagesOnly(app),
            http=_AbortableProtocol,
            log_level="error",
            lifespan="off",
            access_log=False,
            ws="none",
            date_header=False,
            timeout_keep_alive=keep_alive,
        )
        self._server = _EventServer(config)
        self._task: asyncio.Task[None] | None = None
        self._is_refusing = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket.dup()]))
        ready = asyncio.create_task(self._server.ready_event.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def set_refusing(self, refusing: bool) -> None:
        """Refuse connections, and close idle ones, or accept them again; the port is kept."""
        if refusing == self._is_refusing:
            return
        self._is_refusing = refusing
        if refusing:
            self._server.stop_listening()
            stop_listening(self._socket)
            await asyncio.sleep(0)  # until then, idle connections are still open
        else:
            self._socket.listen(BACKLOG)
            await self._server.listen(self._socket.dup())

    async def close(self) -> None:
        self._server.stop_event.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._socket.close()

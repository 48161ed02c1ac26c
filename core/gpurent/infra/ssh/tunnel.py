"""Local ports forwarded to ports of a machine; they stay open when the connection is dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import cast

import asyncssh
from attrs import define, field

from gpurent.errors import GpurentError, UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error, quote_text
from gpurent.ports.connection import OpenConnection, PortPair

CHUNK_BYTES = 1 << 16


@define(eq=False)
class SshTunnel:
    """Implements `gpurent.ports.connection.Tunnel`: a listener on a local port, forwarded to one remote port."""

    _ports: PortPair
    _address: str
    _connect: Callable[[], Awaitable[OpenConnection]]
    _report: Callable[[str], None]
    port: int = field(init=False, default=0)
    _server: asyncio.Server | None = field(init=False, default=None)
    _client_tasks: set[asyncio.Task[None]] = field(init=False, factory=set)

    async def start(self) -> None:
        try:
            self._server = await asyncio.start_server(self._accept_client, self._address, self._ports.local)
        except OSError as error:
            raise UsageError(
                _("cannot use local port {port}: {why}").format(
                    port=self._ports.local, why=describe_error(error)
                ),
                hint=_("Try another one: {other}:{there}").format(
                    other=min(self._ports.local + 1, 65535), there=self._ports.remote
                ),
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._client_tasks):
            task.cancel()
        await asyncio.gather(*self._client_tasks, return_exceptions=True)

    def _accept_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve_client(reader, writer))
        self._client_tasks.add(task)
        task.add_done_callback(self._client_tasks.discard)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            transport = cast(asyncssh.SSHClientConnection, (await self._connect()).transport)
            far_reader, far_writer = await transport.open_connection(
                "127.0.0.1", self._ports.remote, encoding=None
            )
            try:
                await _relay_streams(reader, writer, far_reader, far_writer)
            finally:
                far_writer.close()
        except asyncssh.ChannelOpenError as error:
            prohibited = error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            text = (
                _("the machine's SSH server does not allow forwarding to port {port}: {why}")
                if prohibited
                else _("port {port} on the machine refused the connection: {why}")
            )
            self._report(text.format(port=self._ports.remote, why=quote_text(error.reason)))
        except (OSError, asyncssh.Error, GpurentError):
            # The owner of the SSH connection reports its drop; only this client is lost.
            return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _relay_streams(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncssh.SSHReader[bytes],
    far_writer: asyncssh.SSHWriter[bytes],
) -> None:
    """Copy in both directions until both sides have sent everything; an error in one stops the other."""
    ways = [
        asyncio.ensure_future(_copy_stream(reader, far_writer)),
        asyncio.ensure_future(_copy_stream(far_reader, writer)),
    ]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)


async def _copy_stream(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes],
    target: asyncio.StreamWriter | asyncssh.SSHWriter[bytes],
) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        target.write(chunk)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()

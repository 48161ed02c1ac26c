"""Local ports that lead to ports of a machine; they stay open when the line is cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncssh
from attrs import frozen

from gpurent.errors import GpurentError, UsageError
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.locale import _

CHUNK = 1 << 16


@frozen
class Ports:
    """``here`` 0: any free one. ``there`` is on the machine's loopback."""

    here: int
    there: int


class Tunnel:
    """One listener here, one port there. ``line`` gives an open link and takes it up again as often as needed.

    ``told`` hears why a single connection could not be passed on.
    """

    def __init__(
        self,
        ports: Ports,
        address: str,
        line: Callable[[], Awaitable[AsyncsshConnection]],
        told: Callable[[str], None],
    ) -> None:
        self._ports = ports
        self._address = address
        self._line = line
        self._told = told
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = ports.here

    async def start(self) -> None:
        """Listen. A port that is taken is a `UsageError`."""
        try:
            self._server = await asyncio.start_server(self._arrived, self._address, self._ports.here)
        except OSError as error:
            raise UsageError(
                _("port {port} cannot be used here: {why}").format(port=self._ports.here, why=error.strerror),
                hint=_("Take another one: {other}:{there}").format(
                    other=min(self._ports.here + 1, 65535), there=self._ports.there
                ),
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            link = await self._line()
            far_reader, far_writer = await link.connection.open_connection(
                "127.0.0.1", self._ports.there, encoding=None
            )
            try:
                await _both_ways(reader, writer, far_reader, far_writer)
            finally:
                far_writer.close()
        except asyncssh.ChannelOpenError as error:
            self._told(
                _("port {port} on the machine refused: {why}").format(
                    port=self._ports.there, why=error.reason
                )
            )
        except (OSError, asyncssh.Error, GpurentError):
            # The line tells its own story; this one connection is lost with it.
            return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncssh.SSHReader[bytes],
    far_writer: asyncssh.SSHWriter[bytes],
) -> None:
    """Until both sides have said all; when one breaks, so does the other."""
    ways = [
        asyncio.ensure_future(_pump(reader, far_writer)),
        asyncio.ensure_future(_pump(far_reader, writer)),
    ]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)


async def _pump(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes],
    target: asyncio.StreamWriter | asyncssh.SSHWriter[bytes],
) -> None:
    while chunk := await source.read(CHUNK):
        target.write(chunk)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()

"""Ports of a machine reached from here, as long as the machine is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gpurent.domain.access import is_loopback
from gpurent.domain.events import EventKind
from gpurent.locale import _
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk

if TYPE_CHECKING:
    from gpurent.infra.ssh.connection import AsyncsshConnection
    from gpurent.infra.ssh.tunnel import Ports


class Forward:
    """One line for all ports of one lease."""

    def __init__(self, desk: Desk, lease: str) -> None:
        self._desk = desk
        self._line = ReconnectingConnection(desk, desk.lease(lease).id)
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def open(self, ports: Sequence[Ports], address: str) -> AsyncIterator[tuple[int, ...]]:
        """Listening; gives the local ports."""
        from gpurent.infra.ssh.tunnel import Tunnel

        tunnels = [Tunnel(pair, address, self._link, self._told) for pair in ports]
        try:
            await self._line.look()
            await self._link()
            for tunnel in tunnels:
                await tunnel.start()
            yield tuple(tunnel.port for tunnel in tunnels)
        finally:
            for tunnel in tunnels:
                await tunnel.close()
            await self._line.close()

    async def stay(self) -> None:
        """Take the line up again whenever it is cut; the machine's end is a `LeaseGone`."""
        while True:
            link = await self._link()
            await link.connection.wait_closed()

    async def _link(self) -> AsyncsshConnection:
        async with self._one_at_a_time:
            return await self._line.link()

    def _told(self, why: str) -> None:
        self._desk.tell(EventKind.WARNING, why, lease=self._line.lease.id)


def shown(address: str) -> str:
    """``address`` as a browser on this computer reaches it."""
    if address in ("", "0.0.0.0", "::"):  # noqa: S104 - what was asked for
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


def open_to_others(address: str) -> str:
    """A warning when others may come in by ``address``; empty on loopback."""
    return (
        ""
        if is_loopback(address)
        else _("Everyone who reaches this computer at {address} gets in.").format(address=address)
    )

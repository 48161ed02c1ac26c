"""The transfer role over several SSH lines."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from gpurent.api import Link, Progress, Pull, Push, TransferBackend, TransferReport
from gpurent_plugin_turbo import ship
from gpurent_plugin_turbo.lines import SshProcess, Wire, has_ssh

if TYPE_CHECKING:
    from gpurent_plugin_turbo.pull import Puller
    from gpurent_plugin_turbo.push import Pusher

T = TypeVar("T")


class Turbo(TransferBackend):
    """Threads carry; the event loop only waits."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def _dialer(self, link: Link, command: str) -> Callable[[bool], Wire]:
        """The first line uses the connection that is open; the others are processes of the system's ssh."""
        loop = asyncio.get_running_loop()
        first_is_channel = not has_ssh() or getattr(link, "alive", False)

        def dial(first: bool) -> Wire:
            if first_is_channel and (first or not has_ssh()):
                from gpurent_plugin_turbo.channel import Channel

                return Channel(link, loop, command)
            return SshProcess(link, self._settings, command)

        return dial

    async def push(self, link: Link, cargo: Push, progress: Progress) -> TransferReport:
        from gpurent_plugin_turbo.push import Pusher
        from gpurent_plugin_turbo.scan import Scan

        command = ship.command(f"take_push({cargo.target.encode()!r}, False)", "wire", "far")
        pusher = Pusher(
            Scan(cargo),
            progress,
            self._dialer(link, command),
            lines=int(self._settings.get("lines") or 8),
        )
        return await _in_thread(pusher)

    async def pull(self, link: Link, cargo: Pull, progress: Progress) -> TransferReport:
        from gpurent_plugin_turbo.pull import Puller

        sources = [posixpath.normpath(source).encode() for source in cargo.sources]
        command = ship.command(f"give_pull({sources!r}, False)", "wire", "far", "give")
        puller = Puller(
            cargo, progress, self._dialer(link, command), lines=int(self._settings.get("lines") or 8)
        )
        return await _in_thread(puller)


async def _in_thread(work: Pusher | Puller) -> TransferReport:
    task = asyncio.ensure_future(asyncio.to_thread(work.run))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        work.stop()
        await asyncio.wait({task})
        raise
    finally:
        for _ in range(3):  # what the threads have left to the loop: pipes to close
            await asyncio.sleep(0)

"""The transfer role over several SSH lines."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import evolve

from gpurent.api import Link, Progress, Pull, Push, TransferBackend, TransferReport, TransferUnfit
from gpurent_plugin_turbo import ship
from gpurent_plugin_turbo.early import take_early
from gpurent_plugin_turbo.lines import SshProcess, Wire, has_ssh

if TYPE_CHECKING:
    from gpurent_plugin_turbo.plainly import Plainly

FULL = "full"
T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What blocks in a thread; `stop` ends it from any other."""

    def run(self) -> T_co: ...

    def stop(self) -> None: ...


def push_command(target: str, whole: bool = False) -> str:
    return ship.command(f"take_push({target.encode()!r}, {whole})", "codec", "wire", "disk", "far")


def _first_time(link: Link, target: str) -> bool:
    """Whether nothing was ever sent there from here: then nobody needs to ask what is there. Only a guess."""
    note = Path(link.key_file).with_name(f"pushed-{sha256(target.encode()).hexdigest()[:16]}")
    try:
        with note.open("x"):
            return True
    except OSError:
        return False


class Turbo(TransferBackend):
    """Threads carry; the event loop only waits."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def _dialer(self, link: Link, command: str) -> Callable[[bool], Wire]:
        """The first line uses the connection that is open; the others are processes of the system's ssh."""
        loop = asyncio.get_running_loop()
        first_is_channel = not has_ssh() or getattr(link, "alive", False)

        def dial(first: bool) -> Wire:
            if first and (early := take_early(link, command)) is not None:
                return early
            if first_is_channel and (first or not has_ssh()):
                from gpurent_plugin_turbo.channel import Channel

                return Channel(link, loop, command)
            return SshProcess(link, self._settings, command)

        return dial

    def _plainly(self, link: Link) -> Plainly:
        from gpurent_plugin_turbo.plainly import START, Plainly

        dial = self._dialer(link, START)
        return Plainly(lambda: dial(True))

    async def push(self, link: Link, cargo: Push, progress: Progress) -> TransferReport:
        from gpurent_plugin_turbo.push import Pusher
        from gpurent_plugin_turbo.scan import Scan

        if cargo.delete:
            from gpurent_plugin_turbo.weed import tops_of

            Scan(cargo).check()
            tops_of(cargo)  # refuses before anything moves
        if cargo.dry_run:
            return TransferReport(
                files=0, total=0, sent=0, resumed=0, seconds=0.0, deleted=await self._weed(link, cargo)
            )
        pusher = Pusher(
            Scan(cargo),
            progress,
            self._dialer(link, push_command(cargo.target, cargo.verify == FULL)),
            whole=cargo.verify == FULL,
            limit=cargo.limit,
            cold=_first_time(link, cargo.target),
            lines=int(self._settings.get("lines") or 8),
        )
        report = await _or_plainly(pusher, lambda: self._plainly(link).pusher(cargo, progress))
        return evolve(report, deleted=await self._weed(link, cargo)) if cargo.delete else report

    async def _weed(self, link: Link, cargo: Push) -> tuple[str, ...]:
        """What is not here any more, taken away there; a dry run only names it."""
        from gpurent_plugin_turbo.weed import Weeder, tops_of

        tops = [top for top, _ in tops_of(cargo)]
        command = ship.command(f"take_away({cargo.target.encode()!r}, {tops!r})", "codec", "wire", "away")
        weeder = Weeder(cargo, self._dialer(link, command))
        return await _or_plainly(weeder, lambda: self._plainly(link).weeder(cargo))

    async def pull(self, link: Link, cargo: Pull, progress: Progress) -> TransferReport:
        from gpurent_plugin_turbo.pull import Puller

        sources = [posixpath.normpath(source).encode() for source in cargo.sources]
        command = ship.command(f"give_pull({sources!r}, False)", "codec", "wire", "disk", "far", "give")
        puller = Puller(
            cargo,
            progress,
            self._dialer(link, command),
            whole=cargo.verify == FULL,
            lines=int(self._settings.get("lines") or 8),
            limit=cargo.limit,
        )
        return await _or_plainly(puller, lambda: self._plainly(link).puller(cargo, progress))


async def _or_plainly(work: Work[T_co], plain: Callable[[], Work[T_co]]) -> T_co:
    """A machine without Python has been told nothing yet: its shell and its tar do it, slower."""
    try:
        return await _in_thread(work)
    except TransferUnfit:
        return await _in_thread(plain())


async def _in_thread(work: Work[T_co]) -> T_co:
    task = asyncio.ensure_future(asyncio.to_thread(work.run))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        work.stop()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # that it was cut short is no news
        raise
    finally:
        for _ in range(3):  # what the threads have left to the loop: pipes to close
            await asyncio.sleep(0)

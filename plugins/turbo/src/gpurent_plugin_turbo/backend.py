"""The transfer role over several SSH lines."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from gpurent.api import (
    Progress,
    Pull,
    Push,
    SshConnection,
    SupportsPredial,
    TransferReport,
    TransferUnsupported,
)
from gpurent_plugin_turbo.near.connection import bootstrap
from gpurent_plugin_turbo.near.connection.predial import dial_push, drop_early, take_early
from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess, Wire, has_ssh
from gpurent_plugin_turbo.near.push.push_factory import FULL, LINES, pusher

if TYPE_CHECKING:
    from gpurent_plugin_turbo.posix.transfers import Plainly

T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What blocks in a thread; `stop` ends it from any other."""

    def run(self) -> T_co: ...

    def stop(self) -> None: ...


class Turbo(SupportsPredial):
    """Threads carry; the event loop only waits."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def _dialer(self, link: SshConnection, command: str) -> Callable[[bool], Wire]:
        """The first line uses the connection that is open; the others are processes of the system's ssh."""
        loop = asyncio.get_running_loop()
        first_is_channel = not has_ssh() or getattr(link, "alive", False)

        def dial(first: bool) -> Wire:
            if first and (early := take_early(link, command)) is not None:
                return early
            if first_is_channel and (first or not has_ssh()):
                from gpurent_plugin_turbo.near.connection.ssh_channel import Channel

                return Channel(link, loop, command)
            return SshProcess(link, self._settings, command)

        return dial

    def dial(self, link: SshConnection, cargo: Push) -> Callable[[], None] | None:
        if cargo.dry_run or not has_ssh():
            return None
        whole = cargo.verify == FULL
        dial_push(link, cargo.target, self._settings, whole)
        return partial(drop_early, link, bootstrap.push_command(cargo.target, whole))

    def _plainly(self, link: SshConnection) -> Plainly:
        from gpurent_plugin_turbo.posix.scripts import START
        from gpurent_plugin_turbo.posix.transfers import Plainly

        dial = self._dialer(link, START)
        return Plainly(lambda: dial(True))

    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        if cargo.delete:
            from gpurent_plugin_turbo.near.prune import tops_of
            from gpurent_plugin_turbo.near.push.scan import Scan

            Scan(cargo).check()
            tops_of(cargo)  # refuses before anything moves
        if cargo.dry_run:
            deleted = await self._weed(link, cargo)
            return TransferReport(files=0, total=0, sent=0, resumed=0, seconds=0.0, deleted=deleted)
        dial = self._dialer(link, bootstrap.push_command(cargo.target, cargo.verify == FULL))
        work = pusher(link, cargo, progress, self._settings, dial)
        done = await _or_plainly(work, lambda: self._plainly(link).pusher(cargo, progress))
        return TransferReport(
            files=done.files,
            total=done.total,
            sent=done.sent,
            resumed=done.resumed,
            seconds=done.seconds,
            skipped=done.skipped,
            deleted=await self._weed(link, cargo) if cargo.delete else (),
        )

    async def _weed(self, link: SshConnection, cargo: Push) -> tuple[str, ...]:
        """What is not here any more, taken away there; a dry run only names it."""
        from gpurent_plugin_turbo.near.prune import Weeder, tops_of

        command = bootstrap.prune_command(cargo.target, [top for top, _ in tops_of(cargo)])
        weeder = Weeder(cargo, self._dialer(link, command))
        return await _or_plainly(weeder, lambda: self._plainly(link).weeder(cargo))

    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        from gpurent_plugin_turbo.near.pull.puller import Puller

        sources = [posixpath.normpath(source).encode() for source in cargo.sources]
        command = bootstrap.pull_command(sources)
        puller = Puller(
            cargo,
            progress,
            self._dialer(link, command),
            whole=cargo.verify == FULL,
            lines=int(self._settings.get("lines") or LINES),
            limit=cargo.limit,
        )
        return await _or_plainly(puller, lambda: self._plainly(link).puller(cargo, progress))


async def _or_plainly(work: Work[T_co], plain: Callable[[], Work[T_co]]) -> T_co:
    """A machine without Python has taken nothing: its shell and its tar do it, slower."""
    try:
        return await _in_thread(work)
    except TransferUnsupported:
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

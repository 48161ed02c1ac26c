"""The transfer role, over several SSH connections."""

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
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.predial import drop_predialed, predial_push, take_predialed
from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess, has_ssh
from gpurent_plugin_turbo.near.push.push_factory import FULL_VERIFY, create_pusher, read_max_streams

if TYPE_CHECKING:
    from gpurent_plugin_turbo.posix.transfers import PosixTransfers

T_co = TypeVar("T_co", covariant=True)


class BlockingTransfer(Protocol[T_co]):
    """`run` blocks in a thread; `stop` ends it from any other."""

    def run(self) -> T_co: ...

    def stop(self) -> None: ...


class Turbo(SupportsPredial):
    """Threads do the work; the event loop only waits."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def _make_opener(self, link: SshConnection, command: str) -> Callable[[bool], CommandConnection]:
        """The first connection is a channel of the open one; the others are processes of the system's ssh."""
        loop = asyncio.get_running_loop()
        first_is_channel = not has_ssh() or getattr(link, "alive", False)

        def open_connection(first: bool) -> CommandConnection:
            if first and (predialed := take_predialed(link, command)) is not None:
                return predialed
            if first_is_channel and (first or not has_ssh()):
                from gpurent_plugin_turbo.near.connection.ssh_channel import SshChannel

                return SshChannel(link, loop, command)
            return SshProcess(link, self._settings, command)

        return open_connection

    def dial(self, link: SshConnection, cargo: Push) -> Callable[[], None] | None:
        if cargo.dry_run or not has_ssh():
            return None
        full_verify = cargo.verify == FULL_VERIFY
        predial_push(link, cargo.target, self._settings, full_verify)
        return partial(drop_predialed, link, bootstrap.push_command(cargo.target, full_verify))

    def _posix_transfers(self, link: SshConnection) -> PosixTransfers:
        from gpurent_plugin_turbo.posix.scripts import START_COMMAND
        from gpurent_plugin_turbo.posix.transfers import PosixTransfers

        open_connection = self._make_opener(link, START_COMMAND)
        return PosixTransfers(lambda: open_connection(True))

    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        if cargo.delete:
            from gpurent_plugin_turbo.near.prune import pruned_folders
            from gpurent_plugin_turbo.near.push.scan import SourceScan

            SourceScan(cargo).check_sources()
            pruned_folders(cargo)  # refuses before anything moves
        if cargo.dry_run:
            deleted = await self._prune(link, cargo)
            return TransferReport(files=0, total=0, sent=0, resumed=0, seconds=0.0, deleted=deleted)
        command = bootstrap.push_command(cargo.target, cargo.verify == FULL_VERIFY)
        pusher = create_pusher(link, cargo, progress, self._settings, self._make_opener(link, command))
        done = await _run_or_use_posix(
            pusher, lambda: self._posix_transfers(link).create_pusher(cargo, progress)
        )
        return TransferReport(
            files=done.files,
            total=done.total,
            sent=done.sent,
            resumed=done.resumed,
            seconds=done.seconds,
            skipped=done.skipped,
            deleted=await self._prune(link, cargo) if cargo.delete else (),
        )

    async def _prune(self, link: SshConnection, cargo: Push) -> tuple[str, ...]:
        """Delete there what does not exist here any more; a dry run only names it."""
        from gpurent_plugin_turbo.near.prune import Pruner, pruned_folders

        command = bootstrap.prune_command(cargo.target, [name for name, _ in pruned_folders(cargo)])
        pruner = Pruner(cargo, self._make_opener(link, command))
        return await _run_or_use_posix(pruner, lambda: self._posix_transfers(link).create_pruner(cargo))

    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        from gpurent_plugin_turbo.near.pull.puller import StreamPuller

        sources = [posixpath.normpath(source).encode() for source in cargo.sources]
        puller = StreamPuller(
            cargo,
            progress,
            self._make_opener(link, bootstrap.pull_command(sources)),
            full_verify=cargo.verify == FULL_VERIFY,
            max_streams=read_max_streams(self._settings),
            limit=cargo.limit,
        )
        return await _run_or_use_posix(
            puller, lambda: self._posix_transfers(link).create_puller(cargo, progress)
        )


async def _run_or_use_posix(
    transfer: BlockingTransfer[T_co], create_posix: Callable[[], BlockingTransfer[T_co]]
) -> T_co:
    """A machine without Python has received nothing: its shell and its tar do it, slower."""
    try:
        return await _run_in_thread(transfer)
    except TransferUnsupported:
        return await _run_in_thread(create_posix())


async def _run_in_thread(transfer: BlockingTransfer[T_co]) -> T_co:
    task = asyncio.ensure_future(asyncio.to_thread(transfer.run))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        transfer.stop()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # that it was cut short is no news
        raise
    finally:
        for _ in range(3):  # what the threads have left to the loop: pipes to close
            await asyncio.sleep(0)

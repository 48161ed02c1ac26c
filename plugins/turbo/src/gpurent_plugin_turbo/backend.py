"""The transfer backend, over several SSH connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import TypeVar

from attrs import evolve

from gpurent.api import (
    LocalFiles,
    Progress,
    PullRequest,
    PushRequest,
    SourceFiles,
    SshConnection,
    SupportsPredial,
    SupportsUploadPreview,
    TransferReport,
    TransferUnsupported,
    UploadPreview,
    open_safe_dir,
)
from gpurent_plugin_turbo.near.connection import bootstrap
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.ssh_process import (
    SshProcess,
    close_predialed,
    has_ssh,
    pop_predialed,
    predial,
)
from gpurent_plugin_turbo.near.push.pusher import StreamPusher
from gpurent_plugin_turbo.near.push.scan import mark_first_push, preview_push

T = TypeVar("T")


class TurboBackend(SupportsPredial, SupportsUploadPreview):
    """Transfer backend; threads do the work and the event loop only waits for them.

    If the machine has no Python, nothing has been sent by the time that is known; the transfer then falls back to the
    machine's shell and tar, which is slower.
    """

    def __init__(self, settings: Mapping[str, str], files: LocalFiles) -> None:
        self._settings, self._files = settings, files
        self._max_streams = int(settings.get("max_connections") or 8)

    def _make_opener(self, connection: SshConnection, command: str) -> Callable[[bool], CommandConnection]:
        """Return a function that opens connections for ``command``.

        The first connection is a channel of the SSH connection that is already open, or a predialed one; the others are
        processes of the system's ssh.
        """
        loop = asyncio.get_running_loop()
        first_is_channel = not has_ssh() or getattr(connection, "is_alive", False)

        def open_connection(first: bool) -> CommandConnection:
            if first and (predialed := pop_predialed(connection, command)) is not None:
                return predialed
            if first_is_channel and (first or not has_ssh()):
                from gpurent_plugin_turbo.near.connection.ssh_channel import SshChannel

                return SshChannel(connection, loop, command)
            return SshProcess(connection, self._settings, command)

        return open_connection

    def _make_shell_opener(self, connection: SshConnection) -> Callable[[bool], CommandConnection]:
        from gpurent_plugin_turbo.posix.scripts import START_COMMAND

        return self._make_opener(connection, START_COMMAND)

    def start_login(self, connection: SshConnection, request: PushRequest) -> Callable[[], None] | None:
        if request.dry_run or not has_ssh():
            return None
        command = bootstrap.make_push_command(request)
        predial(connection, self._settings, command)
        return partial(close_predialed, connection, command)

    def preview_push(self, request: PushRequest) -> UploadPreview:
        with closing(SourceFiles(self._files, request)) as sources:
            return preview_push(request, sources)

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        with closing(SourceFiles(self._files, request)) as sources:
            return await self._push_sources(connection, request, sources, progress)

    async def _push_sources(
        self, connection: SshConnection, request: PushRequest, sources: SourceFiles, progress: Progress
    ) -> TransferReport:
        if request.delete:
            from gpurent_plugin_turbo.near.prune import select_prune_folders

            select_prune_folders(request, sources)  # raises before anything is transferred
        if request.dry_run:
            deleted = await self._prune_target(connection, request, sources)
            return TransferReport(files=0, total=0, sent=0, resumed=0, seconds=0.0, deleted=deleted)
        pusher = StreamPusher(
            request,
            sources,
            progress,
            self._make_opener(connection, bootstrap.make_push_command(request)),
            first_push=mark_first_push(connection, request.target),
            max_streams=self._max_streams,
        )
        try:
            await _run_in_thread(pusher.run, pusher.stop)
            report = TransferReport(
                files=pusher.scan.files,
                total=pusher.scan.size,
                sent=pusher.sent,
                resumed=pusher.resumed,
                seconds=pusher.seconds,
                skipped=tuple(pusher.scan.skipped),
            )
        except TransferUnsupported:
            from gpurent_plugin_turbo.posix.push import PosixPusher

            posix_pusher = PosixPusher(request, sources, progress, self._make_shell_opener(connection))
            report = await _run_in_thread(posix_pusher.run, posix_pusher.stop)
        return (
            evolve(report, deleted=await self._prune_target(connection, request, sources))
            if request.delete
            else report
        )

    async def _prune_target(
        self, connection: SshConnection, request: PushRequest, sources: SourceFiles
    ) -> tuple[str, ...]:
        """Delete remote files that do not exist locally and return their names; a dry run only lists them."""
        from gpurent_plugin_turbo.near.prune import RemotePruner, select_prune_folders

        command = bootstrap.make_prune_command(
            request.target, [name for name, _ in select_prune_folders(request, sources)]
        )
        pruner = RemotePruner(request, sources, self._make_opener(connection, command))
        try:
            return await _run_in_thread(pruner.run, pruner.stop)
        except TransferUnsupported:
            from gpurent_plugin_turbo.posix.prune import PosixPruner

            posix_pruner = PosixPruner(request, sources, self._make_shell_opener(connection))
            return await _run_in_thread(posix_pruner.run, posix_pruner.stop)

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        from gpurent_plugin_turbo.near.pull.puller import StreamPuller

        opener = self._make_opener(connection, bootstrap.make_pull_command(request))
        target = open_safe_dir(self._files, request)
        puller = StreamPuller(request, target, progress, opener, max_streams=self._max_streams)
        try:
            return await _run_in_thread(puller.run, puller.stop)
        except TransferUnsupported:
            from gpurent_plugin_turbo.posix.pull import PosixPuller

            target = open_safe_dir(self._files, request)
            posix_puller = PosixPuller(request, target, progress, self._make_shell_opener(connection))
            return await _run_in_thread(posix_puller.run, posix_puller.stop)


async def _run_in_thread(run: Callable[[], T], stop: Callable[[], None]) -> T:
    """Run ``run`` in a thread and return its result; on cancellation call ``stop`` and wait for the thread."""
    task = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # retrieve the error so that asyncio does not log it
        raise
    finally:
        for _ in range(3):  # let callbacks that the threads scheduled run: they close pipes
            await asyncio.sleep(0)

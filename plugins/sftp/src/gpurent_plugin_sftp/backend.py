"""The transfer role over SFTP."""

from __future__ import annotations

import asyncio
from time import monotonic

from gpurent.api import (
    Progress,
    PullRequest,
    PushRequest,
    SshConnection,
    TransferBackend,
    TransferReport,
    TransferUnsupported,
)
from gpurent_plugin_sftp.pull import pull_files
from gpurent_plugin_sftp.push import SftpPusher
from gpurent_plugin_sftp.scan import scan_sources
from gpurent_plugin_sftp.sftp_client import open_sftp_client


class SftpBackend(TransferBackend):
    """asyncssh carries single files; the walks, the names and the limits are ours."""

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        _refuse_limit(request)
        if request.delete or request.dry_run:
            raise TransferUnsupported(
                "sftp takes nothing away on the machine",
                hint="Leave --delete out, or take another --transfer.",
            )
        begun = monotonic()
        found = await asyncio.to_thread(scan_sources, request)
        async with open_sftp_client(connection) as sftp:
            pusher = SftpPusher(connection, sftp, request, found, progress)
            await pusher.run()
        return TransferReport(
            files=found.files,
            total=found.size,
            sent=pusher.sent,
            resumed=pusher.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(found.skipped),
        )

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        _refuse_limit(request)
        return await pull_files(connection, request, progress)


def _refuse_limit(request: PushRequest | PullRequest) -> None:
    if request.bandwidth_limit:
        raise TransferUnsupported(
            "sftp cannot be limited to a rate", hint="Leave --limit out, or take another --transfer."
        )

"""The transfer backend over SFTP."""

from __future__ import annotations

import asyncio
from contextlib import closing
from time import monotonic

from gpurent.api import (
    LocalFiles,
    Progress,
    PullRequest,
    PushRequest,
    SourceFiles,
    SshConnection,
    SupportsUploadPreview,
    TransferReport,
    TransferUnsupported,
    UploadPreview,
)
from gpurent_plugin_sftp import _
from gpurent_plugin_sftp.pull import pull_files
from gpurent_plugin_sftp.push import SftpPusher
from gpurent_plugin_sftp.scan import preview_push, scan_sources
from gpurent_plugin_sftp.sftp_client import open_sftp_client


class SftpBackend(SupportsUploadPreview):
    """Transfer backend; asyncssh transfers single files, this plugin walks folders and checks names and limits."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files

    def preview_push(self, request: PushRequest) -> UploadPreview:
        with closing(SourceFiles(self._files, request)) as sources:
            return preview_push(request, sources)

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        _refuse_limit(request)
        if request.delete or request.dry_run:
            raise TransferUnsupported(
                _("sftp cannot delete files on the machine"),
                hint=_("Omit --delete, or choose another --transfer."),
            )
        started_at = monotonic()
        with closing(SourceFiles(self._files, request)) as sources:
            found = await asyncio.to_thread(scan_sources, request, sources)
            async with open_sftp_client(connection) as sftp:
                pusher = SftpPusher(connection, sftp, request, found, progress)
                await pusher.run()
        return TransferReport(
            files=found.files,
            total=found.size,
            sent=pusher.sent,
            resumed=pusher.resumed,
            seconds=monotonic() - started_at,
            skipped=tuple(found.skipped),
        )

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        _refuse_limit(request)
        return await pull_files(connection, request, progress, self._files)


def _refuse_limit(request: PushRequest | PullRequest) -> None:
    if request.bandwidth_limit:
        raise TransferUnsupported(
            _("sftp cannot limit its bandwidth"), hint=_("Omit --limit, or choose another --transfer.")
        )

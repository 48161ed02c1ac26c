"""The transfer role over SFTP."""

from __future__ import annotations

import asyncio
from time import monotonic

from gpurent.api import (
    Progress,
    Pull,
    Push,
    SshConnection,
    TransferBackend,
    TransferReport,
    TransferUnsupported,
)
from gpurent_plugin_sftp.pull import pull
from gpurent_plugin_sftp.push import Pusher
from gpurent_plugin_sftp.remote import far_side
from gpurent_plugin_sftp.scan import scan


class Sftp(TransferBackend):
    """asyncssh carries single files; the walks, the names and the limits are ours."""

    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        _refuse_limit(cargo)
        if cargo.delete or cargo.dry_run:
            raise TransferUnsupported(
                "sftp takes nothing away on the machine",
                hint="Leave --delete out, or take another --transfer.",
            )
        begun = monotonic()
        found = await asyncio.to_thread(scan, cargo)
        async with far_side(link) as sftp:
            pusher = Pusher(link, sftp, cargo, found, progress)
            await pusher.run()
        return TransferReport(
            files=found.files,
            total=found.size,
            sent=pusher.sent,
            resumed=pusher.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(found.skipped),
        )

    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        _refuse_limit(cargo)
        return await pull(link, cargo, progress)


def _refuse_limit(cargo: Push | Pull) -> None:
    if cargo.limit:
        raise TransferUnsupported(
            "sftp cannot be limited to a rate", hint="Leave --limit out, or take another --transfer."
        )

"""The transfer role over SFTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
from gpurent_plugin_sftp.push import push
from gpurent_plugin_sftp.scan import scan


class Sftp(TransferBackend):
    """asyncssh carries single files; the walks, the names and the limits are ours."""

    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        _unlimited(cargo)
        if cargo.delete or cargo.dry_run:
            raise TransferUnsupported(
                "sftp takes nothing away on the machine",
                hint="Leave --delete out, or take another --transfer.",
            )
        seconds = _watch()
        found = await asyncio.to_thread(scan, cargo)
        return await push(link, cargo, found, progress, seconds)

    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        _unlimited(cargo)
        return await pull(link, cargo, progress, _watch())


def _unlimited(cargo: Push | Pull) -> None:
    if cargo.limit:
        raise TransferUnsupported(
            "sftp cannot be limited to a rate", hint="Leave --limit out, or take another --transfer."
        )


def _watch() -> Callable[[], float]:
    begun = monotonic()
    return lambda: monotonic() - begun

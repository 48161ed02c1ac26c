"""The backend where turbo cannot work: it needs the processes and sockets of Linux or macOS."""

from __future__ import annotations

from typing import NoReturn

from gpurent.api import (
    Progress,
    PullRequest,
    PushRequest,
    SshConnection,
    TransferBackend,
    TransferReport,
    TransferUnsupported,
)
from gpurent_plugin_turbo import _


class NotHereBackend(TransferBackend):
    """Refuses before anything is transferred."""

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        _refuse()

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        _refuse()


def _refuse() -> NoReturn:
    raise TransferUnsupported(
        _("turbo does not work on Windows"), hint=_("Choose another transfer backend: --transfer sftp")
    )

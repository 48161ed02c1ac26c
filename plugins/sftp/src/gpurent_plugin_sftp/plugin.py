"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import TransferEntry, hookimpl
from gpurent_plugin_sftp import _

if TYPE_CHECKING:
    from gpurent.api import PluginContext, TransferBackend

REQUIRED_API = (1, 0)


def _build_backend(context: PluginContext) -> TransferBackend:
    from gpurent_plugin_sftp.backend import SftpBackend

    return SftpBackend(context.files)


@hookimpl
def gpurent_register_transfer() -> Sequence[TransferEntry]:
    return [
        TransferEntry(
            name="sftp",
            summary=_("SFTP: resumable and verified; requires nothing on the machine but SSH"),
            build=_build_backend,
            rank=10,
        )
    ]

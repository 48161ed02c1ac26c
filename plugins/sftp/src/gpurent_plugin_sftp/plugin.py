"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.api import Host, TransferBackend, TransferEntry, hookimpl


def _build(host: Host) -> TransferBackend:
    from gpurent_plugin_sftp.backend import Sftp

    return Sftp()


@hookimpl
def gpurent_register_transfer() -> Sequence[TransferEntry]:
    return [
        TransferEntry(
            name="sftp",
            summary="SFTP: resumable and verified, needs nothing on the machine",
            build=_build,
            rank=10,
        )
    ]

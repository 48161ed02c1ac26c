"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import Field, TransferEntry, hookimpl

if TYPE_CHECKING:
    from gpurent.api import PluginContext, TransferBackend


def _build(host: PluginContext) -> TransferBackend:
    from gpurent_plugin_turbo.backend import Turbo

    return Turbo(host.settings)


@hookimpl
def gpurent_register_transfer() -> Sequence[TransferEntry]:
    return [
        TransferEntry(
            name="turbo",
            summary="several SSH lines at once, packs and segments, compressed as the line needs it",
            build=_build,
            rank=20,
            settings=(
                Field(name="kex", label="Key exchange to prefer (curve25519-sha256 is quick)", optional=True),
                Field(name="lines", label="At most so many SSH lines", optional=True, default="8"),
            ),
        )
    ]

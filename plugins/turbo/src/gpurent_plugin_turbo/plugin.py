"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import InputField, TransferEntry, hookimpl

if TYPE_CHECKING:
    from gpurent.api import PluginContext, TransferBackend


def _build_backend(context: PluginContext) -> TransferBackend:
    from gpurent_plugin_turbo.backend import TurboBackend

    return TurboBackend(context.settings)


@hookimpl
def gpurent_register_transfer() -> Sequence[TransferEntry]:
    return [
        TransferEntry(
            name="turbo",
            summary="several SSH lines at once, packs and segments, compressed as the line needs it",
            build=_build_backend,
            rank=20,
            settings=(
                InputField(
                    name="kex", label="Key exchange to prefer (curve25519-sha256 is quick)", optional=True
                ),
                InputField(name="lines", label="At most so many SSH lines", optional=True, default="8"),
            ),
        )
    ]

"""Plugin entry points."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import InputField, TransferEntry, hookimpl, integer_between
from gpurent_plugin_turbo import _

if TYPE_CHECKING:
    from gpurent.api import PluginContext, TransferBackend

REQUIRED_API = (1, 0)


_SYSTEM: str = sys.platform


def _build_backend(context: PluginContext) -> TransferBackend:
    if _SYSTEM == "win32":
        from gpurent_plugin_turbo.not_here import NotHereBackend

        return NotHereBackend()
    from gpurent_plugin_turbo.backend import TurboBackend

    return TurboBackend(context.settings, context.files)


@hookimpl
def gpurent_register_transfer() -> Sequence[TransferEntry]:
    return [
        TransferEntry(
            name="turbo",
            summary=_(
                "parallel SSH connections, small files batched, large ones split, adaptive compression"
            ),
            build=_build_backend,
            rank=20 if _SYSTEM != "win32" else 0,  # the others first, since it cannot
            settings=(
                InputField(
                    name="kex_algorithms",
                    label=_("Preferred SSH key exchange (curve25519-sha256 is fast)"),
                    optional=True,
                    former_name="kex",
                ),
                InputField(
                    name="max_connections",
                    label=_("Maximum number of SSH connections"),
                    optional=True,
                    default="8",
                    check=integer_between(1, 64),
                    former_name="lines",
                ),
            ),
        )
    ]

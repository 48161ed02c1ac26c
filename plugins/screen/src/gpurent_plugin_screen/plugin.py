"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import SessionEntry, hookimpl

if TYPE_CHECKING:
    from gpurent.api import PluginContext, SessionBackend

REQUIRED_API = (1, 0)


def _build_backend(context: PluginContext) -> SessionBackend:
    from gpurent_plugin_screen.backend import ScreenBackend

    return ScreenBackend()


@hookimpl
def gpurent_register_session() -> Sequence[SessionEntry]:
    return [SessionEntry(name="screen", summary="GNU screen", build=_build_backend, rank=20)]

"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.api import Host, SessionBackend, SessionEntry, hookimpl


def _build(host: Host) -> SessionBackend:
    from gpurent_plugin_tmux.keeper import Tmux

    return Tmux()


@hookimpl
def gpurent_register_session() -> Sequence[SessionEntry]:
    return [SessionEntry(name="tmux", summary="tmux", build=_build, rank=10)]

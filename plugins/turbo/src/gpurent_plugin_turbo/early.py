"""A first line that is dialled while the rest of the program is still being imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gpurent_plugin_turbo import ship

if TYPE_CHECKING:
    from gpurent.api import Link
    from gpurent_plugin_turbo.lines import SshProcess

_waiting: dict[tuple[str, str], SshProcess] = {}


def dial_push(link: Link, target: str, settings: Mapping[str, str], whole: bool = False) -> None:
    """Begin the login that a push to ``target`` over ``link`` will need; nothing else is touched."""
    from gpurent_plugin_turbo.lines import SshProcess

    command = ship.command(f"take_push({target.encode()!r}, {whole})", "codec", "wire", "disk", "far")
    _waiting[str(link.endpoint), command] = SshProcess(link, settings, command)


def take_early(link: Link, command: str) -> SshProcess | None:
    return _waiting.pop((str(link.endpoint), command), None)


def drop_early(link: Link, command: str) -> None:
    """End what was dialled and not taken."""
    waiting = take_early(link, command)
    if waiting is not None:
        waiting.close()

"""The entry of the launcher that gpurent brings along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.entries import LauncherEntry
from gpurent.hookspecs import hookimpl
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.ports.host import Host
    from gpurent.ports.launcher import Launcher


def _plain(host: Host) -> Launcher:
    from gpurent.plugins.plain_launcher import Plain

    return Plain()


@hookimpl
def gpurent_register_launcher() -> Sequence[LauncherEntry]:
    return [
        LauncherEntry(
            name="plain",
            summary=_("the command as it is; .py files under Python 3"),
            build=_plain,
            rank=100,  # one that does more is chosen by name
        )
    ]

"""The entry of the built-in launcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.locale import _
from gpurent.roles.entries import LauncherEntry
from gpurent.roles.hookspecs import hookimpl

if TYPE_CHECKING:
    from gpurent.roles.machine import Launcher
    from gpurent.roles.plugin_context import PluginContext


def _build_plain(context: PluginContext) -> Launcher:
    from gpurent.infra.registry.plain_launcher import PlainLauncher

    return PlainLauncher()


@hookimpl
def gpurent_register_launcher() -> Sequence[LauncherEntry]:
    return [
        LauncherEntry(
            name="plain",
            summary=_("the command as it is; .py files run with Python 3"),
            build=_build_plain,
            rank=100,  # launchers that do more are chosen by name
        )
    ]

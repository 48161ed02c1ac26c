"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import CommandEntry, LauncherEntry, hookimpl
from gpurent_plugin_torch import _

if TYPE_CHECKING:
    import click

    from gpurent.api import Launcher, PluginContext

REQUIRED_API = (1, 0)


def _build_launcher(context: PluginContext) -> Launcher:
    from gpurent_plugin_torch.launcher import TorchrunLauncher

    return TorchrunLauncher()


def _load_checkpoint_command() -> click.Command:
    from gpurent_plugin_torch.commands import checkpoint_command

    return checkpoint_command


def _load_helper_command() -> click.Command:
    from gpurent_plugin_torch.commands import helper_command

    return helper_command


@hookimpl
def gpurent_register_launcher() -> Sequence[LauncherEntry]:
    return [LauncherEntry(name="torchrun", summary=_("torchrun, one process per GPU"), build=_build_launcher)]


@hookimpl
def gpurent_register_command() -> Sequence[CommandEntry]:
    return [
        CommandEntry(
            name="checkpoint",
            summary=_("Inspect saved weights; add or remove the module. prefix"),
            build=_load_checkpoint_command,
        ),
        CommandEntry(
            name="torch-helper",
            summary=_("Put gpurent_torch.py next to your training script"),
            build=_load_helper_command,
        ),
    ]

"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import ExporterEntry, hookimpl
from gpurent_plugin_openssh import _

if TYPE_CHECKING:
    from gpurent.api import Exporter, PluginContext

REQUIRED_API = (1, 0)


def _build_openssh(context: PluginContext) -> Exporter:
    from gpurent_plugin_openssh.exporters import OpenSshExporter

    return OpenSshExporter()


def _build_vscode(context: PluginContext) -> Exporter:
    from gpurent_plugin_openssh.exporters import VsCodeExporter

    return VsCodeExporter()


@hookimpl
def gpurent_register_exporter() -> Sequence[ExporterEntry]:
    return [
        ExporterEntry(name="openssh", summary="ssh, scp, sftp, rsync", build=_build_openssh),
        ExporterEntry(
            name="vscode", summary=_("Visual Studio Code, Remote - SSH"), build=_build_vscode, can_open=True
        ),
    ]

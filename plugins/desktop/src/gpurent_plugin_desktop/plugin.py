"""Plugin entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import ExporterEntry, hookimpl
from gpurent_plugin_desktop import _

if TYPE_CHECKING:
    from gpurent.api import Exporter, PluginContext

REQUIRED_API = (1, 0)


def _build_xshell(context: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import XShellExporter

    return XShellExporter()


def _build_ftprush(context: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import FtpRushExporter

    return FtpRushExporter()


def _build_filezilla(context: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import FileZillaExporter

    return FileZillaExporter()


def _build_winscp(context: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import WinScpExporter

    return WinScpExporter()


@hookimpl
def gpurent_register_exporter() -> Sequence[ExporterEntry]:
    return [
        ExporterEntry(name="xshell", summary=_("XShell sessions (.xsh, .xts)"), build=_build_xshell),
        ExporterEntry(name="ftprush", summary=_("FTP Rush sites (v3) and a card (v2)"), build=_build_ftprush),
        ExporterEntry(name="filezilla", summary=_("FileZilla sites to import"), build=_build_filezilla),
        ExporterEntry(name="winscp", summary=_("WinSCP session URLs"), build=_build_winscp),
    ]

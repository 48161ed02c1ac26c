"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import ExporterEntry, hookimpl
from gpurent_plugin_desktop import _

if TYPE_CHECKING:
    from gpurent.api import Exporter, PluginContext


def _xshell(host: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import XShell

    return XShell()


def _ftprush(host: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import FtpRush

    return FtpRush()


def _filezilla(host: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import FileZilla

    return FileZilla()


def _winscp(host: PluginContext) -> Exporter:
    from gpurent_plugin_desktop.exporters import WinScp

    return WinScp()


@hookimpl
def gpurent_register_exporter() -> Sequence[ExporterEntry]:
    return [
        ExporterEntry(name="xshell", summary=_("XShell sessions (.xsh, .xts)"), build=_xshell),
        ExporterEntry(name="ftprush", summary=_("FTP Rush sites (v3), a card for v2"), build=_ftprush),
        ExporterEntry(name="filezilla", summary=_("FileZilla sites to import"), build=_filezilla),
        ExporterEntry(name="winscp", summary=_("WinSCP session URLs"), build=_winscp),
    ]

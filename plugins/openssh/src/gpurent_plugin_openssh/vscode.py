"""VS Code's Remote - SSH: it reads the ssh config, so it needs the entry there and a URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from gpurent.api import Export, Exported, Exporter, SupportsInstall, SupportsOpen
from gpurent_plugin_openssh.exporter import OpenSsh, no_password
from gpurent_plugin_openssh.messages import _


class VsCode(Exporter, SupportsInstall, SupportsOpen):
    """A URL for each lease, on top of the OpenSSH entry."""

    def __init__(self) -> None:
        self._openssh = OpenSsh()

    def export(self, leases: Sequence[Exported]) -> Export:
        notes = [_("VS Code needs its extension Remote - SSH, and the machine in the ssh config: --install")]
        if any(lease.password for lease in leases):
            notes.append(no_password())
        return Export(text="\n".join(self.link(lease) for lease in leases), notes=tuple(notes))

    def install(self, leases: Sequence[Exported], home: Path) -> Sequence[str]:
        return self._openssh.install(leases, home)

    def installed(self, home: Path) -> Sequence[str]:
        return self._openssh.installed(home)

    def uninstall(self, names: Sequence[str], home: Path) -> Sequence[str]:
        return self._openssh.uninstall(names, home)

    def command(self, lease: Exported) -> tuple[str, ...]:
        return ("code", "--folder-uri", f"vscode-remote://{_where(lease)}")

    def link(self, lease: Exported) -> str:
        return f"vscode://vscode-remote/{_where(lease)}"


def _where(lease: Exported) -> str:
    return f"ssh-remote+{lease.name}{quote(lease.folder or '/')}"

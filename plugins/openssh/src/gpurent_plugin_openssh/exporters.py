"""Leases for OpenSSH's tools and for VS Code: an ssh config of our own, printed or put beside the user's; and URLs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from gpurent.api import Export, Exported, Exporter, SupportsInstall, SupportsOpen
from gpurent_plugin_openssh import _
from gpurent_plugin_openssh.ssh_config import Place, block, whole


class OpenSsh(Exporter, SupportsInstall):
    """What ssh, scp, sftp, rsync, VS Code and JetBrains read."""

    def export(self, leases: Sequence[Exported]) -> Export:
        notes = [
            _("Use it with: ssh -F FILE {name}; or let ssh read it always: --install").format(
                name=leases[0].name
            )
        ]
        if any(lease.password for lease in leases):
            notes.append(no_password())
        text = whole({lease.name: block(lease) for lease in leases})
        return Export(text=text.rstrip("\n"), notes=tuple(notes))

    def install(self, leases: Sequence[Exported], home: Path) -> Sequence[str]:
        place = Place(home)
        with place.turn():
            return place.write({**place.read(), **{lease.name: block(lease) for lease in leases}})

    def installed(self, home: Path) -> Sequence[str]:
        return sorted(Place(home).read())

    def uninstall(self, names: Sequence[str], home: Path) -> Sequence[str]:
        place = Place(home)
        if not place.folder.is_dir():
            return []
        with place.turn():
            before = place.read()
            left = {name: text for name, text in before.items() if name not in names}
            if left:
                return place.write(left) if left != before else []
            return place.clear()


class VsCode(OpenSsh, SupportsOpen):
    """A URL for each lease; its extension Remote - SSH needs the entry in the ssh config as well."""

    def export(self, leases: Sequence[Exported]) -> Export:
        notes = [_("VS Code needs its extension Remote - SSH, and the machine in the ssh config: --install")]
        if any(lease.password for lease in leases):
            notes.append(no_password())
        return Export(text="\n".join(self.link(lease) for lease in leases), notes=tuple(notes))

    def command(self, lease: Exported) -> tuple[str, ...]:
        return ("code", "--folder-uri", f"vscode-remote://{_where(lease)}")

    def link(self, lease: Exported) -> str:
        return f"vscode://vscode-remote/{_where(lease)}"


def _where(lease: Exported) -> str:
    return f"ssh-remote+{lease.name}{quote(lease.folder or '/')}"


def no_password() -> str:
    """For who asked for one."""
    return _("ssh takes no password from a file: it logs in with the lease's own key.")

"""Exporters for OpenSSH tools and VS Code: a separate ssh config, printed or added to the user's; and URLs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from gpurent.api import Export, ExportedLease, Exporter, SupportsInstall, SupportsOpen
from gpurent_plugin_openssh import _
from gpurent_plugin_openssh.ssh_config import SshConfigFolder, format_block, format_config


class OpenSshExporter(Exporter, SupportsInstall):
    """Exports the ssh config that ssh, scp, sftp, rsync, VS Code and JetBrains read."""

    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        notes = [
            _("To use it: ssh -F FILE {name}. To have ssh always read it: --install").format(
                name=leases[0].name
            )
        ]
        if any(lease.password for lease in leases):
            notes.append(no_password_note())
        text = format_config({lease.name: format_block(lease) for lease in leases})
        return Export(text=text.rstrip("\n"), notes=tuple(notes))

    def install_leases(self, leases: Sequence[ExportedLease], home: Path) -> Sequence[str]:
        place = SshConfigFolder(home)
        with place.lock():
            return place.write_blocks(
                {**place.read_blocks(), **{lease.name: format_block(lease) for lease in leases}}
            )

    def list_installed(self, home: Path) -> Sequence[str]:
        return sorted(SshConfigFolder(home).read_blocks())

    def uninstall_leases(self, names: Sequence[str], home: Path) -> Sequence[str]:
        place = SshConfigFolder(home)
        if not place.folder.is_dir():
            return []
        with place.lock():
            before = place.read_blocks()
            left = {name: text for name, text in before.items() if name not in names}
            if left:
                return place.write_blocks(left) if left != before else []
            return place.delete_config()


class VsCodeExporter(OpenSshExporter, SupportsOpen):
    """Exports a URL for each lease; the Remote - SSH extension also needs the entry in the ssh config."""

    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        notes = [_("VS Code needs its Remote - SSH extension, and the machine in the ssh config: --install")]
        if any(lease.password for lease in leases):
            notes.append(no_password_note())
        return Export(text="\n".join(self.make_open_link(lease) for lease in leases), notes=tuple(notes))

    def make_open_command(self, lease: ExportedLease) -> tuple[str, ...]:
        return ("code", "--folder-uri", f"vscode-remote://{_remote_folder(lease)}")

    def make_open_link(self, lease: ExportedLease) -> str:
        return f"vscode://vscode-remote/{_remote_folder(lease)}"


def _remote_folder(lease: ExportedLease) -> str:
    return f"ssh-remote+{lease.name}{quote(lease.folder or '/')}"


def no_password_note() -> str:
    """Return a note for a user who asked for a password."""
    return _("ssh does not read passwords from files: it logs in with the lease's own key.")

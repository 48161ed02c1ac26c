"""An ssh config of our own: printed, written to a file, or put beside the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpurent.api import Export, Exported, Exporter, SupportsInstall
from gpurent_plugin_openssh.config import block, whole
from gpurent_plugin_openssh.messages import _
from gpurent_plugin_openssh.place import Place


def no_password() -> str:
    """For who asked for one."""
    return _("ssh takes no password from a file: it logs in with the lease's own key.")


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

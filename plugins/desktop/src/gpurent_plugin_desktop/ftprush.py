"""FTP Rush: version 3 reads JSON; version 2 gets a card to type from, since its SFTP setting is not documented."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from gpurent.api import Export, Exported, Exporter, ExportFile
from gpurent_plugin_desktop.card import cards, names
from gpurent_plugin_desktop.messages import _

SFTP = 2
V2_PROTOCOL = "SFTP (SSH FTP, v3)"


class FtpRush(Exporter):
    """A ``site.json`` for version 3, and the card for version 2 as text."""

    def export(self, leases: Sequence[Exported]) -> Export:
        folder = {"Name": "gpurent", "Children": [_site(lease) for lease in leases]}
        tree = {"RootItem": {"Name": "root", "Children": [folder]}}
        content = json.dumps(tree, indent=2).encode() + b"\n"
        notes = [
            _(
                "FTP Rush 3: close it, then add the sites of this file to Documents\\FTPRush\\site.json "
                "(keep a copy of yours)."
            ),
            _(
                "FTP Rush 2: type the card into its quick-connect bar; its protocol list calls SFTP “SSH FTP”."
            ),
        ]
        if any(lease.password for lease in leases):
            notes.append(_("FTP Rush keeps the password in base64: anyone who has the file can read it."))
        else:
            notes.append(_("No password is in it: FTP Rush asks at the first login."))
        file = ExportFile(name=f"{names(leases)}.ftprush.json", content=content)
        return Export(file=file, text=cards(leases, V2_PROTOCOL), notes=tuple(notes))


def _site(lease: Exported) -> dict[str, Any]:
    server: dict[str, Any] = {
        "Name": lease.name,
        "Host": lease.endpoint.address,
        "Port": lease.endpoint.port,
        "Username": lease.endpoint.user,
        "Protocol": SFTP,
        "DefaultRemotePath": lease.folder or "/",
    }
    if lease.password is not None:
        server["Base64Password"] = b64encode(lease.password.reveal().encode()).decode()
    return {"Name": lease.name, "Server": server}

"""WinSCP session URLs, as its manual documents them: user, password, pinned host key, host, port, folder."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from gpurent.api import Export, Exported, Exporter
from gpurent_plugin_desktop.messages import _


class WinScp(Exporter):
    """One URL a line."""

    def export(self, leases: Sequence[Exported]) -> Export:
        notes = [_("WinSCP: paste the URL into its login dialog; its Save button makes a site of it.")]
        if any(lease.password for lease in leases):
            notes.append(_("The password stands readable in the URL."))
        else:
            notes.append(
                _(
                    "No password is in it: WinSCP asks. To log in by key instead, choose {key} under "
                    "Advanced > SSH > Authentication; WinSCP offers to convert it."
                ).format(key=leases[0].key_file)
            )
        notes.append(_("A host key that WinSCP has kept for this address wins over the one in the URL."))
        return Export(text="\n".join(url(lease) for lease in leases), notes=tuple(notes))


def url(lease: Exported) -> str:
    """``sftp://user;fingerprint=…@host:port/folder/``."""
    login = quote(lease.endpoint.user, safe="")
    if lease.password is not None:
        login += f":{quote(lease.password.reveal(), safe='')}"
    if lease.fingerprint and lease.host_key:
        login += f";fingerprint={_fingerprint(lease)}"
    folder = quote(lease.folder.rstrip("/")) + "/"
    return f"sftp://{login}@{lease.endpoint.host}:{lease.endpoint.port}{folder}"


def _fingerprint(lease: Exported) -> str:
    """The kind and the SHA-256, joined by a dash; base64 in its form for URLs."""
    kind = lease.host_key.partition(" ")[0]
    digest = lease.fingerprint.removeprefix("SHA256:").replace("+", "-").replace("/", "_")
    return f"{quote(kind, safe='')}-{digest}"

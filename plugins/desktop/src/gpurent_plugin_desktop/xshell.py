"""XShell sessions. Read from importers and exporters in public code; never opened in the real program."""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Sequence

from gpurent.api import Export, Exported, Exporter, ExportFile
from gpurent_plugin_desktop.card import cards, names
from gpurent_plugin_desktop.messages import _

LONG_AGO = (1980, 1, 1, 0, 0, 0)


class XShell(Exporter):
    """One lease: a ``.xsh``. Several: a ``.xts``, which is a ZIP of them in a folder."""

    def export(self, leases: Sequence[Exported]) -> Export:
        several = len(leases) > 1
        content = _bundle(leases) if several else session(leases[0])
        file = ExportFile(name=f"{names(leases)}.{'xts' if several else 'xsh'}", content=content)
        notes = [
            _("XShell: double-click the session file, or File > Import for a bundle."),
            _(
                "XShell keeps passwords in a form of its own that it does not document, so none is written: "
                "it asks at the first login."
            ),
            _(
                "To log in by key instead, import {key} in its key manager, then choose it in the session."
            ).format(key=leases[0].key_file),
        ]
        asked = any(lease.password for lease in leases)
        return Export(file=file, text=cards(leases, "SSH") if asked else "", notes=tuple(notes))


def session(lease: Exported) -> bytes:
    """A session as XShell itself writes it: UTF-16LE with its mark, CRLF."""
    sections = (
        ("SessionInfo", (("Version", "8.1"),)),
        (
            "CONNECTION",
            (
                ("Protocol", "SSH"),
                ("Host", lease.endpoint.address),
                ("Port", str(lease.endpoint.port)),
            ),
        ),
        (
            "CONNECTION:AUTHENTICATION",
            (("UserName", lease.endpoint.user), ("Password", ""), ("UserKey", "")),
        ),
        ("CONNECTION:SSH", (("AgentForwarding", "0"), ("ForwardX11", "0"))),
    )
    lines: list[str] = []
    for name, values in sections:
        lines += [f"[{name}]", *(f"{key}={value}" for key, value in values)]
    return codecs.BOM_UTF16_LE + "".join(f"{line}\r\n" for line in lines).encode("utf-16-le")


def _bundle(leases: Sequence[Exported]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for lease in leases:
            archive.writestr(zipfile.ZipInfo(f"gpurent/{lease.name}.xsh", LONG_AGO), session(lease))
    return held.getvalue()

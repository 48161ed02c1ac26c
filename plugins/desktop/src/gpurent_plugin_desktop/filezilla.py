"""FileZilla sites, as File > Import reads them. The live ``sitemanager.xml`` is never touched."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gpurent.api import Export, Exported, Exporter, ExportFile
from gpurent_plugin_desktop.card import names
from gpurent_plugin_desktop.messages import _

SFTP = "1"
STORED, ASK, KEY_FILE = "1", "2", "5"
# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class FileZilla(Exporter):
    """Logs in by the lease's key; by the password where it was asked for."""

    def export(self, leases: Sequence[Exported]) -> Export:
        root = Element("FileZilla3", platform="*nix")
        folder = SubElement(SubElement(root, "Servers"), "Folder", expanded="1")
        folder.text = "gpurent"
        for lease in leases:
            folder.append(_server(lease))
        indent(root)
        folder.text = "gpurent"
        content = tostring(root, encoding="UTF-8", xml_declaration=True)
        notes = [_("FileZilla: File > Import, then choose the site in File > Site Manager.")]
        if any(lease.password for lease in leases):
            notes.append(_("FileZilla keeps the password in base64: anyone who has the file can read it."))
        else:
            notes.append(_("It logs in with the lease's key file; FileZilla may offer to convert it first."))
        return Export(
            file=ExportFile(name=f"{names(leases)}.filezilla.xml", content=content), notes=tuple(notes)
        )


def _server(lease: Exported) -> Element:
    server = Element("Server")

    def put(name: str, text: str, **attributes: str) -> None:
        SubElement(server, name, attributes).text = text

    put("Host", lease.endpoint.address)
    put("Port", str(lease.endpoint.port))
    put("Protocol", SFTP)
    put("Type", "0")
    put("User", lease.endpoint.user)
    if lease.password is not None:
        put("Pass", b64encode(lease.password.reveal().encode()).decode(), encoding="base64")
        put("Logontype", STORED)
    elif _NO_XML.search(str(lease.key_file)):
        put("Logontype", ASK)
    else:
        put("Keyfile", str(lease.key_file))
        put("Logontype", KEY_FILE)
    put("EncodingType", "UTF-8")
    put("Name", lease.name)
    if lease.folder:
        put("RemoteDir", _remote(lease.folder))
    return server


def _remote(folder: str) -> str:
    """``/home/root`` as FileZilla writes it: the kind of path (1: Unix), no prefix, each part after its length."""
    parts = [part for part in folder.split("/") if part]
    return " ".join(["1", "0", *(f"{len(part)} {part}" for part in parts)])

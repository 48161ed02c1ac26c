"""Session files of desktop programs, and a card with the fields that a user types into a dialog.

XShell: the format is taken from importers and exporters in public code and was never opened in the real program.
FileZilla: as File > Import reads it; the live ``sitemanager.xml`` is never touched. FTP Rush: version 3 reads JSON;
version 2 gets a card to type from, since its SFTP setting is undocumented. WinSCP: session URLs as documented in its
manual.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import unicodedata
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gpurent.api import Export, ExportedLease, Exporter, ExportFile
from gpurent_plugin_desktop import _

ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # of files in the ZIP

FILEZILLA_SFTP, LOGON_STORED, LOGON_ASK, LOGON_KEY_FILE = "1", "1", "2", "5"  # protocol, and ways to log in
# Characters that XML 1.0 cannot represent, not even escaped.
_INVALID_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
FTPRUSH_SFTP = 2
FTPRUSH_2_PROTOCOL = "SFTP (SSH FTP, v3)"


class XShellExporter(Exporter):
    """Exports one lease as a ``.xsh``, several as a ``.xts``, which is a ZIP of them in a folder."""

    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        several = len(leases) > 1
        content = _make_xshell_bundle(leases) if several else make_xshell_session(leases[0])
        file = ExportFile(name=f"{propose_file_stem(leases)}.{'xts' if several else 'xsh'}", content=content)
        notes = [
            _("XShell: double-click the session file, or use File > Import for a bundle."),
            _(
                "XShell stores passwords in an undocumented format, so none is written: it asks at "
                "the first login."
            ),
            _(
                "To log in with a key instead, import {key} into XShell's key manager, then choose it"
                " in the session."
            ).format(key=leases[0].key_file),
        ]
        asked = any(lease.password for lease in leases)
        return Export(file=file, text=format_cards(leases, "SSH") if asked else "", notes=tuple(notes))


def make_xshell_session(lease: ExportedLease) -> bytes:
    """Return a session file as XShell itself writes it: UTF-16LE with a byte order mark, CRLF."""
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


def _make_xshell_bundle(leases: Sequence[ExportedLease]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for lease in leases:
            archive.writestr(
                zipfile.ZipInfo(f"gpurent/{lease.name}.xsh", ZIP_TIMESTAMP), make_xshell_session(lease)
            )
    return held.getvalue()


class FileZillaExporter(Exporter):
    """Exports sites that log in with the lease's key, or with the password if it was requested."""

    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        root = Element("FileZilla3", platform="*nix")
        folder = SubElement(SubElement(root, "Servers"), "Folder", expanded="1")
        folder.text = "gpurent"
        for lease in leases:
            folder.append(_make_filezilla_server(lease))
        indent(root)
        folder.text = "gpurent"
        content = tostring(root, encoding="UTF-8", xml_declaration=True)
        notes = [_("FileZilla: File > Import, then choose the site in File > Site Manager.")]
        if any(lease.password for lease in leases):
            notes.append(_("FileZilla stores the password in base64: anyone who has the file can read it."))
        else:
            notes.append(_("It logs in with the lease's key file; FileZilla may offer to convert it first."))
        return Export(
            file=ExportFile(name=f"{propose_file_stem(leases)}.filezilla.xml", content=content),
            notes=tuple(notes),
        )


def _make_filezilla_server(lease: ExportedLease) -> Element:
    server = Element("Server")

    def put(name: str, text: str, **attributes: str) -> None:
        SubElement(server, name, attributes).text = text

    put("Host", lease.endpoint.address)
    put("Port", str(lease.endpoint.port))
    put("Protocol", FILEZILLA_SFTP)
    put("Type", "0")
    put("User", lease.endpoint.user)
    if lease.password is not None:
        put("Pass", b64encode(lease.password.reveal().encode()).decode(), encoding="base64")
        put("Logontype", LOGON_STORED)
    elif _INVALID_XML.search(str(lease.key_file)):
        put("Logontype", LOGON_ASK)
    else:
        put("Keyfile", str(lease.key_file))
        put("Logontype", LOGON_KEY_FILE)
    put("EncodingType", "UTF-8")
    put("Name", lease.name)
    if lease.folder:
        put("RemoteDir", _format_remote_dir(lease.folder))
    return server


def _format_remote_dir(folder: str) -> str:
    """Return ``/home/root`` in FileZilla's form: path type (1: Unix), no prefix, each part after its length."""
    parts = [part for part in folder.split("/") if part]
    return " ".join(["1", "0", *(f"{len(part)} {part}" for part in parts)])


class FtpRushExporter(Exporter):
    """Exports a ``site.json`` for version 3, and the card for version 2 as text."""

    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        folder = {"Name": "gpurent", "Children": [_ftprush_site_json(lease) for lease in leases]}
        tree = {"RootItem": {"Name": "root", "Children": [folder]}}
        content = json.dumps(tree, indent=2).encode() + b"\n"
        notes = [
            _(
                "FTP Rush 3: close it, then add the sites in this file to Documents\\FTPRush\\site.json"
                " (back up your own file first)."
            ),
            _(
                "FTP Rush 2: enter the values from the card in its quick-connect bar; its protocol "
                "list calls SFTP “SSH FTP”."
            ),
        ]
        if any(lease.password for lease in leases):
            notes.append(_("FTP Rush stores the password in base64: anyone who has the file can read it."))
        else:
            notes.append(_("The file contains no password: FTP Rush asks at the first login."))
        file = ExportFile(name=f"{propose_file_stem(leases)}.ftprush.json", content=content)
        return Export(file=file, text=format_cards(leases, FTPRUSH_2_PROTOCOL), notes=tuple(notes))


def _ftprush_site_json(lease: ExportedLease) -> dict[str, Any]:
    server: dict[str, Any] = {
        "Name": lease.name,
        "Host": lease.endpoint.address,
        "Port": lease.endpoint.port,
        "Username": lease.endpoint.user,
        "Protocol": FTPRUSH_SFTP,
        "DefaultRemotePath": lease.folder or "/",
    }
    if lease.password is not None:
        server["Base64Password"] = b64encode(lease.password.reveal().encode()).decode()
    return {"Name": lease.name, "Server": server}


class WinScpExporter(Exporter):
    """Exports one URL per line."""

    def export_leases(self, leases: Sequence[ExportedLease]) -> Export:
        notes = [_("WinSCP: paste the URL into the login dialog; Save stores it as a site.")]
        if any(lease.password for lease in leases):
            notes.append(_("The password is readable in the URL."))
        else:
            notes.append(
                _(
                    "The URL contains no password: WinSCP asks for it. To log in with a key instead, "
                    "choose {key} under Advanced > SSH > Authentication; WinSCP offers to convert it."
                ).format(key=leases[0].key_file)
            )
        notes.append(
            _(
                "A host key that WinSCP has already saved for this address takes precedence "
                "over the one in the URL."
            )
        )
        return Export(text="\n".join(make_winscp_url(lease) for lease in leases), notes=tuple(notes))


def make_winscp_url(lease: ExportedLease) -> str:
    """Return ``sftp://user;fingerprint=…@host:port/folder/``."""
    login = quote(lease.endpoint.user, safe="")
    if lease.password is not None:
        login += f":{quote(lease.password.reveal(), safe='')}"
    if lease.fingerprint and lease.host_key:
        login += f";fingerprint={_format_fingerprint(lease)}"
    folder = quote(lease.folder.rstrip("/")) + "/"
    return f"sftp://{login}@{lease.endpoint.host}:{lease.endpoint.port}{folder}"


def _format_fingerprint(lease: ExportedLease) -> str:
    """Return the key type and the SHA-256 fingerprint, joined by a dash, in URL-safe base64."""
    kind = lease.host_key.partition(" ")[0]
    digest = lease.fingerprint.removeprefix("SHA256:").replace("+", "-").replace("/", "_")
    return f"{quote(kind, safe='')}-{digest}"


def format_card(lease: ExportedLease, protocol: str) -> str:
    """Return the fields of a quick-connect dialog as text; the password only if it was requested."""
    rows = [
        (_("site"), lease.name),
        (_("protocol"), protocol),
        (_("host"), lease.endpoint.address),
        (_("port"), str(lease.endpoint.port)),
        (_("user"), lease.endpoint.user),
    ]
    if lease.password is not None:
        rows.append((_("password"), lease.password.reveal()))
    if lease.folder:
        rows.append((_("folder"), lease.folder))
    rows.append((_("key file"), str(lease.key_file)))
    if lease.fingerprint:
        rows.append((_("host key"), f"{lease.host_key.partition(' ')[0]} {lease.fingerprint}"))
    wide = max(_display_width(label) for label, _text in rows)
    return "\n".join(
        f"{label}{' ' * (wide - _display_width(label))}  {_to_one_line(text)}" for label, text in rows
    )


def format_cards(leases: Sequence[ExportedLease], protocol: str) -> str:
    return "\n\n".join(format_card(lease, protocol) for lease in leases)


def _display_width(text: str) -> int:
    """Return the number of terminal columns."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _to_one_line(text: str) -> str:
    """Return the text on one line, whatever characters a path or a password contains."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def propose_file_stem(leases: Sequence[ExportedLease]) -> str:
    """Propose a file name, without its suffix."""
    return leases[0].name if len(leases) == 1 else "gpurent-leases"

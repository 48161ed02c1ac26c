"""What a person types into a dialog: host, port, name, and how to prove it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from gpurent.api import Exported
from gpurent_plugin_desktop.messages import _


def card(lease: Exported, protocol: str) -> str:
    """The fields of a quick-connect dialog in words; the password only if it was asked for."""
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
    wide = max(_cells(label) for label, _text in rows)
    return "\n".join(f"{label}{' ' * (wide - _cells(label))}  {_line(text)}" for label, text in rows)


def cards(leases: Sequence[Exported], protocol: str) -> str:
    return "\n\n".join(card(lease, protocol) for lease in leases)


def _cells(text: str) -> int:
    """Columns on a terminal."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _line(text: str) -> str:
    """One line, whatever a path or a password holds."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def names(leases: Sequence[Exported]) -> str:
    """The proposal for a file's name, without its suffix."""
    return leases[0].name if len(leases) == 1 else "gpurent-leases"

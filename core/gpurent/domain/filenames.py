"""Checks which names sent by an untrusted remote may become local files."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence

from gpurent.locale import _

_MAX_LINK_BYTES = 4000  # bytes; the usual OS limit is 4096

_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape_name(name: str) -> str:
    """Return ``name`` as it may be printed, with special characters escaped and at most 300 characters."""
    return "".join(
        c if unicodedata.category(c) not in _FORBIDDEN_CATEGORIES else f"\\u{ord(c):04x}" for c in name
    )[:300]


def name_reject_reason(name: str, longest: int) -> str:
    """Return why ``name`` (one path component) is refused; empty if it is allowed."""
    if name in ("", ".", ".."):
        return _("not a valid name")
    if "/" in name or "\0" in name:
        return _("the name contains a path separator")
    if any(unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in name):
        return _("the name contains control or text-direction characters, or is not valid UTF-8")
    if len(name.encode()) > longest:
        return _("the name is too long")
    return ""


def link_reject_reason(place: Sequence[str], target: str, tops: Container[str], longest: int) -> str:
    """Return why a symbolic link in the folder ``place`` may not point to ``target``; empty if it may.

    ``place`` is a list of path components, below one of ``tops``. Only the names are checked; the target need not
    exist. ``..`` is allowed only at the start of ``target``: where ``a`` is a link, ``a/..`` is not the folder it
    appears to be, and two such links together could lead anywhere.
    """
    if not target:
        return _("it has no target")
    if target.startswith("/"):
        return _("its target is an absolute path")
    if len(target.encode("utf-8", "surrogateescape")) > _MAX_LINK_BYTES:
        return _("its target is too long")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[up:]:
        return _("its target goes into a folder and up again")
    for part in parts[up:]:
        if why := name_reject_reason(part, longest):
            return _("invalid target: {reason}").format(reason=why)
    found = [*place[: len(place) - up], *parts[up:]]
    if up > len(place) or not found or found[0] not in tops:
        return _("its target is outside the requested folders")
    return ""

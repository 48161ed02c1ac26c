"""Which names from a hostile far side may become local files."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence

_MAX_LINK_BYTES = 4000  # bytes; systems end at 4096

_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape_name(name: str) -> str:
    """``name`` as it may be printed: odd characters escaped."""
    return "".join(
        c if unicodedata.category(c) not in _FORBIDDEN_CATEGORIES else f"\\u{ord(c):04x}" for c in name
    )[:300]


def name_reject_reason(name: str, longest: int) -> str:
    """Why ``name`` (one component) is refused; empty if it is fine."""
    if name in ("", ".", ".."):
        return "not a name"
    if "/" in name or "\0" in name:
        return "holds a separator"
    if any(unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in name):
        return "holds control or direction characters, or is not UTF-8"
    if len(name.encode()) > longest:
        return "is too long"
    return ""


def link_reject_reason(place: Sequence[str], target: str, tops: Container[str], longest: int) -> str:
    """Why a symbolic link in the folder ``place`` (components, below one of ``tops``) may not point to ``target``.

    Empty if it may. Judged by name alone: what it points to need not be there. It may go up at its start only: where
    ``a`` is a link, ``a/..`` is somewhere else than its name says, and two such links together lead anywhere.
    """
    if not target:
        return "points nowhere"
    if target.startswith("/"):
        return "points to an absolute place"
    if len(target.encode("utf-8", "surrogateescape")) > _MAX_LINK_BYTES:
        return "points to a name that is too long"
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[up:]:
        return "goes down and up again"
    for part in parts[up:]:
        if why := name_reject_reason(part, longest):
            return f"points to a name that {why}"
    found = [*place[: len(place) - up], *parts[up:]]
    if up > len(place) or not found or found[0] not in tops:
        return "points out of what was asked for"
    return ""

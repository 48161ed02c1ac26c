"""Which names from a hostile far side may become local files."""

from __future__ import annotations

import unicodedata

_FORBIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def shown(name: str) -> str:
    """``name`` as it may be printed: odd characters escaped."""
    return "".join(c if unicodedata.category(c) not in _FORBIDDEN else f"\\u{ord(c):04x}" for c in name)[:300]


def objection(name: str, longest: int) -> str:
    """Why ``name`` (one component) is refused; empty if it is fine."""
    if name in ("", ".", ".."):
        return "not a name"
    if "/" in name or "\0" in name:
        return "holds a separator"
    if any(unicodedata.category(c) in _FORBIDDEN for c in name):
        return "holds control or direction characters, or is not UTF-8"
    if len(name.encode()) > longest:
        return "is too long"
    return ""

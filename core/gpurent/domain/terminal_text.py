"""Makes untrusted text safe for a terminal, a table's cell, a notification or a page."""

from __future__ import annotations

import re
from functools import cache


@cache  # compiled at the first text that needs it: most texts of most commands do not
def _escapes() -> re.Pattern[str]:
    """Match whole CSI, OSC and string sequences, and every other escape sequence."""
    return re.compile(
        r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]"
    )


@cache
def _controls() -> re.Pattern[str]:
    return re.compile(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f"
        # direction marks and overrides, zero-width characters, line and paragraph separators, annotations, tags
        "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
        # lone surrogates: they cannot be encoded for a terminal
        "\ud800-\udfff]"
    )


@cache
def _separators() -> re.Pattern[str]:
    return re.compile("\r\n|[\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def strip_terminal(text: str) -> str:
    """Return remote ``text`` as it may be shown.

    Removes escape sequences, control characters (except tab and newline), direction marks and zero-width characters.
    """
    if text.replace("\n", "").isprintable():
        return text
    return _controls().sub("", _escapes().sub("", text.replace("\r\n", "\n")))


def strip_to_line(text: str) -> str:
    """Return ``text`` as `strip_terminal` does, on one line: whatever separates lines or cells becomes a space."""
    if text.isprintable():
        return text
    return _controls().sub("", _separators().sub(" ", _escapes().sub("", text)))

"""Makes untrusted text safe for a terminal."""

from __future__ import annotations

import re

# Whole CSI and OSC sequences, then every other escape, C0 and C1 control, and bidirectional override.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    # direction marks and overrides, zero-width characters, line and paragraph separators, tags
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f"
    # lone surrogates: they cannot be encoded for a terminal
    "\ud800-\udfff]"
)


def strip_terminal(text: str) -> str:
    """Return remote ``text`` as it may be shown.

    Removes escape sequences, control characters (except tab and newline), direction marks and zero-width characters.
    """
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))

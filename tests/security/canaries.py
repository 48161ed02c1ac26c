"""Text that attacks a terminal, and a check of what came out of a sink."""

from __future__ import annotations

import re

POSED_ROW = "posed-row"
# One of each: clipboard, title, link, clear and hide (ESC), CSI, DCS and ST (C1), overrides and isolates of direction,
# zero-width characters, separators of lines and paragraphs, NUL, backspace, DEL, tag characters, a row that poses as
# ours, a carriage return that overwrites.
HOSTILE = (
    "said\x1b]52;c;cHduZWQ=\x07\x1b]0;owned\x07\x1b]8;;https://evil.example\x1b\\link\x1b[2J\x1b[1;1H\x1b[8m"
    "\x9b31m\x90q\x9c\u202e\u2066\u200f\u200b\u2060\ufeff\u2028\u2029\x85\x00\x08\x7f\U000e0041\t"
    f"\r\n{POSED_ROW}  running  free\n  {POSED_ROW}\rover\x1bc\x1b(0"
)
LONG = "x" * 100_000
_OUR_COLOURS = re.compile(r"\x1b\[(?:0|1|[34][0-7]|[34]8;5;\d+)(?:;\d+)*m")


def find_harm(printed: str) -> list[str]:
    """Return what is in ``printed`` that a terminal obeys, besides our colours, and rows that pose as ours."""
    text = _OUR_COLOURS.sub("", printed.replace("\r\n", "\n"))
    raw = sorted({f"U+{ord(c):04X}" for c in text if not c.isprintable() and c not in "\n\t"})
    posed = [line for line in text.split("\n") if line.startswith((POSED_ROW, f"  {POSED_ROW}"))]
    return raw + posed

"""Tables that line up with Chinese text, without a library: `gpurent plugin list` must start at once."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import category, east_asian_width

from gpurent.terminal_text import collapse_blanks, strip_to_line

COLUMN_GAP = "  "
MAX_CELL_LENGTH = 300


def display_width(text: str) -> int:
    """Return the number of terminal columns that ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_get_width, text))


def _get_width(letter: str) -> int:
    # Marks, joiners, and the vowels and final consonants that complete a Hangul syllable, add no column.
    if category(letter) in ("Mn", "Me", "Cf") or "\u1160" <= letter <= "\u11ff":
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1


def pad_text(text: str, columns: int, *, right: bool = False) -> str:
    space = " " * max(0, columns - display_width(text))
    return space + text if right else text + space


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Format ``rows`` below ``head``; the columns with an index in ``right`` are right-aligned.

    A cell is one line of at most `MAX_CELL_LENGTH` characters without wide blanks, whoever wrote it.
    """
    every = [tuple(head), *(tuple(map(_make_cell, row)) for row in rows)]
    widths = [max(display_width(row[column]) for row in every) for column in range(len(head))]
    lines = [
        COLUMN_GAP.join(pad_text(cell, widths[i], right=i in right) for i, cell in enumerate(row)).rstrip()
        for row in every
    ]
    rule = COLUMN_GAP.join("-" * columns for columns in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def _make_cell(text: str) -> str:
    line = collapse_blanks(strip_to_line(text))
    return line if len(line) <= MAX_CELL_LENGTH else f"{line[: MAX_CELL_LENGTH - 1]}…"

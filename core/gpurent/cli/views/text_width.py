"""Text in terminal columns: a Chinese character takes two, and a line may break before each of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from unicodedata import category, east_asian_width

# A line may break before every Chinese character, but not before closing or after opening punctuation.
_PIECE = re.compile(
    r"[“（《]*(?:[\u3400-\u9fff]|[^\s\u3400-\u9fff“（《，。：；、？！）》”…]+)?[，。：；、？！）》”…,;:.)]*|\s+"
)
MIN_TERMINAL_WIDTH = 20


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


def split_pieces(text: str) -> Iterator[str]:
    """Yield the parts of ``text`` between which a line may break; a run of blanks is one space."""
    for match in _PIECE.finditer(text):
        if match[0]:
            yield " " if match[0].isspace() else match[0]


def wrap_columns(text: str, width: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` terminal columns; a longer word gets a line of its own."""
    lines, line, used = [], "", 0
    for piece in split_pieces(text):
        columns = display_width(piece)
        if line and used + columns > width:
            lines.append(line.rstrip())
            line, used = "", 0
        if line or piece.strip():
            line, used = line + piece, used + columns
    return [*lines, line.rstrip()] if line.strip() else lines


def find_terminal_width() -> int | None:
    """Return the columns of the terminal that shows stdout, as COLUMNS or the terminal says; None: there is none."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdecimal() and MIN_TERMINAL_WIDTH <= int(given) < 10_000:
        return int(given)
    try:
        width = os.get_terminal_size(1).columns
    except (OSError, ValueError):
        return None
    return width if width >= MIN_TERMINAL_WIDTH else None


def fit_prose(text: str, indent: str = "") -> str:
    """Return ``text``, one paragraph, as lines that fit the terminal; further ones begin with ``indent``."""
    width = find_terminal_width()
    if width is None or display_width(text) <= width:
        return text
    first, *others = wrap_columns(text, width - len(indent))
    return "\n".join([first, *(indent + line for line in others)])

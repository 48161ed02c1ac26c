"""Tables that line up with Chinese text, without a library: `gpurent plugin list` must start at once.

In a terminal, a table that is too wide for it is wrapped within its cells: nothing is lost, and no row is broken by
the terminal. Figures, names and ids are never broken. Where there is no terminal, a row is one line.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.cli.views.text_width import (
    display_width as display_width,
    find_terminal_width,
    pad_text as pad_text,
    split_pieces,
    wrap_columns,
)
from gpurent.terminal_text import collapse_blanks, strip_to_line

COLUMN_GAP = "  "
MAX_CELL_LENGTH = 300


def format_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), *, fit: bool = True
) -> str:
    """Format ``rows`` below ``head``; the columns with an index in ``right`` are right-aligned.

    A cell is text of at most `MAX_CELL_LENGTH` characters without wide blanks, whoever wrote it. Without ``fit``, each
    row is one line, however wide the terminal is.
    """
    return "\n".join(line for row in layout_table(head, rows, right, fit=fit) for line in row)


def layout_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), *, fit: bool = True
) -> list[list[str]]:
    """Return the lines of the head with the rule below it, and of each row; as `format_table`."""
    every = [tuple(head), *(tuple(map(_make_cell, row)) for row in rows)]
    widths = _fit_widths(every, right, find_terminal_width() if fit else None)
    first, *others = (_layout_row(row, widths, right) for row in every)
    rule = COLUMN_GAP.join("-" * columns for columns in widths)
    return [[*first, rule], *others]


def _layout_row(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> list[str]:
    cells = [
        [cell] if display_width(cell) <= width else wrap_columns(cell, width)
        for cell, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, cells))
    return [
        COLUMN_GAP.join(
            pad_text(lines[n] if n < len(lines) else "", widths[i], right=i in right)
            for i, lines in enumerate(cells)
        ).rstrip()
        for n in range(height)
    ]


def _fit_widths(rows: Sequence[Sequence[str]], right: Sequence[int], available: int | None) -> list[int]:
    """Return the columns' widths: as wide as their cells, or else as ``available`` allows."""
    columns = range(len(rows[0]))
    widths = [max(display_width(row[i]) for row in rows) for i in columns]
    if available is None:
        return widths
    excess = sum(widths) + len(COLUMN_GAP) * (len(widths) - 1) - available
    if excess <= 0:
        return widths
    least = [widths[i] if i in right else max(_find_least_width(row[i]) for row in rows) for i in columns]
    # First what is long: a word of two letters on each line is hard to read, above all in Chinese.
    for kept in _KEPT_WIDTHS:
        floors = [max(width, min(natural, kept)) for width, natural in zip(least, widths, strict=True)]
        excess = _shrink(widths, floors, excess)
    # Then figures, between the number and its unit.
    _shrink(widths, [max(_find_piece_width(row[i]) for row in rows) for i in columns], excess)
    return widths


def _shrink(widths: list[int], floors: Sequence[int], excess: int) -> int:
    """Take up to ``excess`` columns from the widest, none below its floor; return what is left of ``excess``."""
    while excess > 0:
        widest = max(range(len(widths)), key=lambda i: widths[i] if widths[i] > floors[i] else 0)
        if widths[widest] <= floors[widest]:
            return excess
        widths[widest] -= 1
        excess -= 1
    return 0


def _find_least_width(cell: str) -> int:
    """Return the width below which a cell would break a word; a figure with its unit counts as one."""
    if cell[:1].isdigit() and len(cell) <= MAX_FIGURE_LENGTH:
        return display_width(cell)
    return _find_piece_width(cell)


def _find_piece_width(cell: str) -> int:
    width = max(map(display_width, split_pieces(cell)), default=0)
    return max(width, min(display_width(cell), MIN_CHINESE_WIDTH)) if not cell.isascii() else width


MAX_FIGURE_LENGTH = 24
MIN_CHINESE_WIDTH = 6  # a line may break before each of its characters
_KEPT_WIDTHS = (24, 16, 12, 8, 4, 0)


def _make_cell(text: str) -> str:
    line = collapse_blanks(strip_to_line(text))
    return line if len(line) <= MAX_CELL_LENGTH else f"{line[: MAX_CELL_LENGTH - 1]}…"

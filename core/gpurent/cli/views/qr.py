"""QR codes in half blocks: two rows of modules in each line of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.cli.output import Line

QUIET_ZONE = 4
# The upper and lower module of a cell; True is dark.
_CELL_CHARACTERS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
# Always black on white, whatever the terminal's colours: scanners need dark on light.
_BLACK, _WHITE = 16, 231


def format_qr(text: str) -> list[Line]:
    """Draw ``text`` as a QR code with its quiet zone."""
    import segno

    matrix = segno.make(text, error="m", micro=False).matrix
    rows = _draw_lines([[bool(m) for m in row] for row in matrix])
    return [Line(row, colour=_BLACK, background=_WHITE) for row in rows]


def _draw_lines(matrix: Sequence[Sequence[bool]]) -> list[str]:
    side = len(matrix) + 2 * QUIET_ZONE
    blank = [False] * side
    rows = [blank] * QUIET_ZONE
    rows += [[*[False] * QUIET_ZONE, *row, *[False] * QUIET_ZONE] for row in matrix]
    rows += [blank] * (QUIET_ZONE + len(matrix) % 2)
    return [
        "".join(_CELL_CHARACTERS[pair] for pair in zip(rows[number], rows[number + 1], strict=True))
        for number in range(0, len(rows), 2)
    ]

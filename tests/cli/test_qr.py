"""A QR code in the terminal encodes the text: read back from the blocks, module by module."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import segno

from gpurent.cli.output import Line
from gpurent.cli.views.qr import QUIET_ZONE, format_qr

CELLS = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def read_matrix(lines: Sequence[Line]) -> list[list[int]]:
    """Return the modules that the blocks of ``lines`` show, without the quiet zone, which must be light."""
    rows: list[list[int]] = []
    for line in lines:
        cells = [CELLS[c] for c in line.text]
        rows += [[cell[0] for cell in cells], [cell[1] for cell in cells]]
    side = len(rows[0]) - 2 * QUIET_ZONE
    inner = [row[QUIET_ZONE:-QUIET_ZONE] for row in rows[QUIET_ZONE : QUIET_ZONE + side]]
    assert sum(map(sum, rows)) == sum(map(sum, inner)), "the quiet zone is light"
    assert len(rows) >= side + 2 * QUIET_ZONE
    return inner


@pytest.mark.parametrize(
    "text",
    ["http://127.0.0.1:1/pay/alipay/97ec7fea72db6981", "AJwbX3cp3phwYn5rCjhdB933H2cXUGMVZa", "x" * 200],
)
def test_the_blocks_are_the_code(text: str) -> None:
    expected = [list(row) for row in segno.make(text, error="m", micro=False).matrix]
    assert read_matrix(format_qr(text)) == expected


def test_dark_is_black_on_white_whatever_the_terminal() -> None:
    assert {(line.colour, line.background) for line in format_qr("x")} == {(16, 231)}

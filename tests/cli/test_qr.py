"""A QR code in the terminal encodes the text: read back from the blocks, module by module."""

from __future__ import annotations

import re

import pytest
import segno

from gpurent.cli.views.qr import QUIET_ZONE, format_qr

CELLS = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def read_matrix(text: str) -> list[list[int]]:
    """Return the modules that the blocks of ``text`` show, without the quiet zone, which must be light."""
    rows: list[list[int]] = []
    for line in text.splitlines():
        cells = [CELLS[c] for c in re.sub(r"\x1b\[[0-9;]*m", "", line)]
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
    for line in format_qr("x").splitlines():
        assert line.startswith("\x1b[38;5;16;48;5;231m")
        assert line.endswith("\x1b[0m")

"""JSON whose numbers stay exact."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gpurent.domain.exact_json import parse_exact_json, render_exact_json


def test_every_digit_is_kept_both_ways() -> None:
    text = '{"a": [0.1000000000000000055, -3, true, null, "\\u00e9"], "b": {}}'
    value = parse_exact_json(text)
    assert value["a"][0] == Decimal("0.1000000000000000055")
    assert render_exact_json(value) == text
    assert render_exact_json([Decimal("1.50"), Decimal("2.000"), Decimal("1e-6")]) == "[1.5, 2, 0.000001]"


def test_what_is_no_json_is_refused() -> None:
    for text in ("NaN", '{"a": Infinity}', "{"):
        with pytest.raises(ValueError, match=r"."):
            parse_exact_json(text)
    for value in (0.5, {1, 2}):
        with pytest.raises(TypeError):
            render_exact_json(value)

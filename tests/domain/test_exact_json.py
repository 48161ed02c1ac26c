"""JSON without floats: what was read is written again, to the last digit."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.exact_json import parse_exact_json, render_exact_json

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(-(10**12), 10**12, places=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_what_is_written_is_read_again(value: object) -> None:
    text = render_exact_json(value)
    json.loads(text)
    assert parse_exact_json(text) == value


def test_a_float_is_neither_read_nor_written() -> None:
    assert parse_exact_json("[0.1, 1e-7]") == [Decimal("0.1"), Decimal("1e-7")]
    assert render_exact_json([Decimal("1E-7"), Decimal("2.500"), Decimal(100)]) == "[0.0000001, 2.5, 100]"
    for value in (0.1, {1}, b"x"):
        with pytest.raises(TypeError):
            render_exact_json(value)
    for text in ("NaN", "[Infinity]", "{"):
        with pytest.raises(ValueError, match=r"."):
            parse_exact_json(text)

"""JSON whose numbers stay exact: a Decimal is read and written with all of its digits, and never as a float."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def parse_exact_json(text: bytes | str) -> Any:
    """Parse JSON, a number with a point as a Decimal. Raises ``ValueError``."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def render_exact_json(value: Any) -> str:
    """Write plain data as JSON. Raises ``TypeError`` for a float and for what JSON has not."""
    if isinstance(value, Decimal):
        return _render_decimal(value)
    if isinstance(value, Mapping):
        fields = (f"{json.dumps(str(name))}: {render_exact_json(item)}" for name, item in value.items())
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(render_exact_json(item) for item in value) + "]"
    if value is None or isinstance(value, str | bool | int):
        return json.dumps(value)
    raise TypeError(f"{type(value).__name__} is not written")


def _render_decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text

"""JSON whose decimals are exact in both directions: `decimal.Decimal`, never a float."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def parse_exact_json(text: bytes | str) -> Any:
    """Parse JSON with its decimals exact. Raises ``ValueError``."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def render_exact_json(value: Any) -> str:
    """Write plain data as JSON, a Decimal with all of its digits. A float raises ``TypeError``."""
    if isinstance(value, Decimal):
        return _render_decimal(value)
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{json.dumps(str(k))}: {render_exact_json(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ", ".join(render_exact_json(item) for item in value) + "]"
    if value is None or isinstance(value, str | bool | int):
        return json.dumps(value)
    raise TypeError(f"{type(value).__name__} is not written")


def _render_decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text

"""Numbers of the API: JSON without floats, and money as whole micro-USD."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from gpurent.api import Currency

MICROS = 10**6
MICRO_USD = Currency("USD", 6)
_RATE_DIGITS = 12


def parse_json(text: bytes | str) -> Any:
    """Parse JSON with its decimals exact. Raises ``ValueError``."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def render_json(value: Any) -> str:
    """Write plain data as JSON, a Decimal with all of its digits."""
    if isinstance(value, Decimal):
        return _render_decimal(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {render_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(render_json(item) for item in value) + "]"
    if value is None or isinstance(value, str | bool | int):
        return json.dumps(value)
    raise TypeError(f"{type(value).__name__} is not written")


def _render_decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def parse_number(value: Any) -> Decimal | None:
    """Return a number, also one that was sent as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def parse_micros(value: Any) -> int | None:
    """Return an amount in USD as micro-USD, cut off beyond the sixth decimal; None if it is no number."""
    number = parse_number(value)
    return None if number is None else int(Fraction(number) * MICROS)


def make_usd(micros: int) -> Decimal:
    """Return micro-USD as USD, exactly."""
    return Decimal(micros).scaleb(-6)


def make_usd_rate(micros: Fraction) -> Decimal:
    """Return a rate in micro-USD as USD, with at most 12 decimals."""
    return round_fraction(micros / MICROS, _RATE_DIGITS)


def round_fraction(value: Fraction, digits: int) -> Decimal:
    """Return ``value`` with that many decimals."""
    return Decimal(round(value * 10**digits)).scaleb(-digits)

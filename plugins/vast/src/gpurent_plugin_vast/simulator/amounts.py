"""Numbers of the API, and money as whole micro-USD."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from gpurent.api import Currency

MICROS = 10**6
MICRO_USD = Currency("USD", 6)
_RATE_DIGITS = 12


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

"""Amounts and prices as people write them in commands and settings, and as they are shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from attrs import evolve

from gpurent.domain.foreign_numbers import CURRENCY_SIGNS, parse_foreign_decimal, to_plain_digits
from gpurent.domain.money import CNY, HOUR, MICROSECOND, USD, Currency, Money, UnitPrice

KNOWN_CURRENCIES = {"CNY": CNY, "USD": USD}
_MONEY = re.compile(r"(?:([¥$])\s*)?(\d{1,12}(?:\.\d{1,18})?)\s*([A-Za-z]{3,5}|元)?", re.ASCII)


def parse_amount(text: str) -> tuple[Decimal, str]:
    """Parse ``200000DBC``, ``100CNY``, ``¥100``, ``100元``, ``100`` into the number and the currency code or ""."""
    match = _MONEY.fullmatch(to_plain_digits(text))
    if match is None or (match[1] and match[3]):
        raise ValueError(f"not a valid amount of money: {text!r}")
    code = CURRENCY_SIGNS.get(match[1] or match[3] or "", (match[3] or "").upper())
    return parse_foreign_decimal(match[2]), code


def make_money(amount: tuple[Decimal, str]) -> Money:
    """Make `Money` of an amount with a currency; an unknown currency gets as many decimals as were typed."""
    value, code = amount
    exponent = value.as_tuple().exponent
    currency = KNOWN_CURRENCIES.get(code) or Currency(
        code, max(0, -exponent if isinstance(exponent, int) else 0)
    )
    return currency.money(value)


def with_precision(money: Money, exponent: int = 8) -> Money:
    """Return the same amount with at least ``exponent`` decimals; the known currencies keep their own."""
    currency = money.currency
    if currency.code in KNOWN_CURRENCIES or currency.exponent >= exponent:
        return money
    return Currency(currency.code, exponent).money(money.decimal)


_PRICE = re.compile(
    r"([¥￥$])?\s*(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]{2,8}|元)?\s*(?:/|per\s+|每)\s*"
    r"(h|hour|hr|小时|时|m|min|minute|分钟|分|d|day|天)",
    re.ASCII | re.IGNORECASE,
)
_PRICE_UNITS = {
    **dict.fromkeys(("h", "hour", "hr", "小时", "时"), timedelta(hours=1)),
    **dict.fromkeys(("m", "min", "minute", "分钟", "分"), timedelta(minutes=1)),
    **dict.fromkeys(("d", "day", "天"), timedelta(days=1)),
}
# Enough for the tokens in use; a price must not be rounded to zero.
_PRICE_DECIMALS = 8


def parse_price(text: str) -> UnitPrice:
    """Parse a price with its currency and time unit; ``0`` is free. Anything else raises `ValueError`."""
    text = text.strip()
    if text == "0":
        return UnitPrice(Decimal(0), CNY)
    match = _PRICE.fullmatch(text)
    if match is None or bool(match[1]) == bool(match[3]):
        raise ValueError(f"not a valid price: {text[:40]!r}")
    code = CURRENCY_SIGNS.get(to_plain_digits(match[1] or match[3])) or match[3].upper()
    currency = KNOWN_CURRENCIES.get(code) or Currency(code, _PRICE_DECIMALS)
    return UnitPrice(parse_foreign_decimal(match[2]), currency, _PRICE_UNITS[match[4].lower()])


_SHOWN_DECIMALS = 8


def format_price_range(low: Money, high: Money) -> str:
    """Format ``3.60 CNY``, or ``3.60 - 3.78 CNY`` if the price floats; a range is widened to 8 decimals."""
    if low == high:
        return str(low)
    return f"{str(_shorten(low, floor)).rpartition(' ')[0]} - {_shorten(high, ceil)}"


def _shorten(money: Money, rounded: Callable[[Fraction], int]) -> Money:
    """Return ``money`` rounded to the decimals that people use; ``--json`` has all of them."""
    unit = 10 ** max(money.currency.exponent - _SHOWN_DECIMALS, 0)
    return evolve(money, amount=rounded(Fraction(money.amount, unit)) * unit)


_ROUNDED_DIGITS = 3
_MANY = 10_000


def format_rounded_money(money: Money) -> str:
    """Format for a table: two decimals, none of 10,000 or more, three digits of less than one; see `format_rounded`."""
    return f"{format_rounded(Fraction(money.decimal))} {money.currency.code}"


def format_hourly_price(price: UnitPrice) -> str:
    """Format ``price`` for a table, per hour whatever its unit, rounded as `format_rounded_money` does."""
    if not price.is_known:
        return str(price)
    exact = Fraction(price.value) * Fraction(HOUR // MICROSECOND, price.per // MICROSECOND)
    return f"{format_rounded(exact)} {price.currency.code}/h"


def format_rounded(exact: Fraction) -> str:
    """Round half up to what people read; what is not zero is never shown as zero."""
    size = abs(exact)
    if size >= _MANY:
        decimals = 0
    elif size >= 1 or not size:
        decimals = 2
    else:
        decimals = _ROUNDED_DIGITS
        while decimals < _MAX_DECIMALS and size * 10**decimals < 10 ** (_ROUNDED_DIGITS - 1):
            decimals += 1
    minor = floor(size * 10**decimals + Fraction(1, 2))
    whole, part = divmod(minor, 10**decimals)
    digits = f"{part:0{decimals}d}" if decimals else ""
    shown = digits[:2] + digits[2:].rstrip("0")
    text = f"{whole:,}.{shown}" if shown else f"{whole:,}"
    return f"-{text}" if exact < 0 else text


_MAX_DECIMALS = 18

"""Parsing of numbers and amounts in text that others wrote: parsed as a whole, or refused with `ValueError`.

Nothing is ever cut out of a longer text. The decimal mark is the point; commas separate groups of three digits, so that
``1.234,50`` and ``1,23`` are refused.
"""

from __future__ import annotations

import re
from decimal import Decimal

from gpurent.domain.money import Currency, Money
from gpurent.errors import UsageError

CURRENCY_SIGNS = {"¥": "CNY", "元": "CNY", "$": "USD"}
_OTHER_MARKS = {"RMB": "CNY", "人民币": "CNY", "US$": "USD"}
# Full-width forms of what is in a number or before it, and the minus sign of typesetters.
_TO_PLAIN = str.maketrans("０１２３４５６７８９．，＋－−￥＄", "0123456789.,+--¥$")
_MAX_LENGTH = 60
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}|[1-9]\d{0,2}(?:,\d{3}){1,12})(?:\.\d{1,40})?", re.ASCII)
_SCIENTIFIC = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?[eE][+-]?\d{1,2}", re.ASCII)
_MARK = r"US\$|[¥$元]|人民币|[A-Za-z]{3,5}"
_AMOUNT = re.compile(
    rf"(?P<outer>[+-]?)\s?(?P<before>{_MARK})?\s?(?P<inner>[+-]?)(?P<number>[\d.,]+)\s?(?P<after>{_MARK})?",
    re.ASCII,
)


def to_plain_digits(text: str) -> str:
    """Return ``text`` with full-width digits and marks replaced by the plain ones, without space around it."""
    return text.translate(_TO_PLAIN).strip()


def parse_foreign_decimal(value: object) -> Decimal:
    """Parse a number of a JSON document or of a page, exactly.

    ``value``: an int, a Decimal, or text such as ``-1,234.50``, ``１２．５`` or ``1e-7``. Raises `ValueError` for
    anything else: a float, a bool, ``NaN``, text with anything beside the number.
    """
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        raise ValueError
    plain = to_plain_digits(value)
    if _NUMBER.fullmatch(plain):
        return Decimal(plain.replace(",", ""))
    if _SCIENTIFIC.fullmatch(plain):
        return Decimal(plain)
    raise ValueError


def parse_foreign_integer(value: object) -> int:
    """Parse a whole number that is not negative; ``12.0`` is one, ``12.5`` is refused."""
    number = parse_foreign_decimal(value)
    # The exponent first: 1e999999999 as an integer would take all memory.
    if number < 0 or number.adjusted() > _MAX_LENGTH or number != number.to_integral_value():
        raise ValueError
    return int(number)


def parse_foreign_money(text: str, currency: Currency) -> Money:
    """Parse an amount with the mark of ``currency`` before or after it: ``¥1,234.50``, ``-3.50 元``, ``CNY 12``.

    Raises `ValueError` for anything else: no mark, that of another currency, more decimals than the currency has.
    """
    match = _AMOUNT.fullmatch(to_plain_digits(text)) if len(text) <= _MAX_LENGTH else None
    if match is None or (match["outer"] and match["inner"]):
        raise ValueError
    marks = [mark for mark in (match["before"], match["after"]) if mark]
    if not marks or any(_find_currency_code(mark) != currency.code for mark in marks):
        raise ValueError
    number = parse_foreign_decimal(match["outer"] + match["inner"] + match["number"])
    try:
        return currency.money(number)
    except UsageError:
        raise ValueError from None


def _find_currency_code(mark: str) -> str:
    return CURRENCY_SIGNS.get(mark) or _OTHER_MARKS.get(mark.upper()) or mark.upper()

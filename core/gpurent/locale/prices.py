"""Prices as people write them: ``3.5CNY/h``, ``¥3.5/小时``, ``0.2USD/min``, ``0``."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from gpurent.domain.money import CNY, USD, Currency, UnitPrice

_PRICE = re.compile(
    r"([¥￥$])?\s*(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]{2,8}|元)?\s*(?:/|per\s+|每)\s*"
    r"(h|hour|hr|小时|时|m|min|minute|分钟|分|d|day|天)",
    re.ASCII | re.IGNORECASE,
)
_SIGNS = {"¥": "CNY", "￥": "CNY", "元": "CNY", "$": "USD"}
_SPANS = {
    **dict.fromkeys(("h", "hour", "hr", "小时", "时"), timedelta(hours=1)),
    **dict.fromkeys(("m", "min", "minute", "分钟", "分"), timedelta(minutes=1)),
    **dict.fromkeys(("d", "day", "天"), timedelta(days=1)),
}
# Enough for every token of the field; a price must not be rounded away.
_FINE = 8


def parse_price(text: str) -> UnitPrice:
    """A price with its currency and its span; ``0`` is free. Anything else is a `ValueError`."""
    text = text.strip()
    if text == "0":
        return UnitPrice(Decimal(0), CNY)
    match = _PRICE.fullmatch(text)
    if match is None or bool(match[1]) == bool(match[3]):
        raise ValueError(f"no price: {text[:40]!r}")
    code = _SIGNS.get(match[1] or match[3]) or match[3].upper()
    currency = {"CNY": CNY, "USD": USD}.get(code) or Currency(code, _FINE)
    return UnitPrice(Decimal(match[2]), currency, _SPANS[match[4].lower()])

"""What people type: spans of time and amounts of money, in English and Chinese."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import click

from gpurent.locale import _
from gpurent.model.typed import money_of as money_of
from gpurent.model.typed import parse_money as parse_money

_UNITS = {
    "s": 1,
    "秒": 1,
    "m": 60,
    "min": 60,
    "分": 60,
    "分钟": 60,
    "h": 3600,
    "小时": 3600,
    "时": 3600,
    "d": 86400,
    "天": 86400,
    "日": 86400,
    "w": 604800,
    "周": 604800,
}
_PART = re.compile(r"(\d{1,6})\s*(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + ")")
LONGEST = timedelta(days=3660)


def parse_span(text: str) -> timedelta:
    """``1d``, ``2h30m``, ``1天``, ``36小时``; above zero. Anything else is a `ValueError`."""
    text = text.strip().lower()
    found = list(_PART.finditer(text))
    if not found or _PART.sub("", text).strip():
        raise ValueError(f"no span of time: {text!r}")
    span = timedelta(seconds=sum(int(match[1]) * _UNITS[match[2]] for match in found))
    if not timedelta() < span <= LONGEST:
        raise ValueError(f"no span of time to rent for: {text!r}")
    return span


class SpanType(click.ParamType[timedelta]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_span(value)
        except ValueError:
            self.fail(
                _("{text} is no span of time; write 1d, 2h30m, 1天").format(text=repr(value)), param, ctx
            )


class MoneyType(click.ParamType[tuple[Decimal, str]]):
    name = "money"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Decimal, str]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_money(value)
        except ValueError:
            self.fail(
                _("{text} is no amount of money; write 200CNY, ¥200, 200000DBC").format(text=repr(value)),
                param,
                ctx,
            )


SPAN = SpanType()
MONEY = MoneyType()

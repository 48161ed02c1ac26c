"""What people type: spans of time and amounts of money, in English and Chinese."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import click

from gpurent.locale import _
from gpurent.locale.spans import parse_span
from gpurent.model.money import CNY, USD, Currency, Money

_SIGNS = {"¥": "CNY", "￥": "CNY", "元": "CNY", "$": "USD"}
_MONEY = re.compile(r"(?:([¥￥$])\s*)?(\d{1,12}(?:\.\d{1,18})?)\s*([A-Za-z]{3,5}|元)?")


def parse_money(text: str) -> tuple[Decimal, str]:
    """``200000DBC``, ``100CNY``, ``¥100``, ``100元``, ``100``: the number and the currency's code, if one was said."""
    match = _MONEY.fullmatch(text.strip())
    if match is None or (match[1] and match[3]):
        raise ValueError(f"no amount of money: {text!r}")
    code = _SIGNS.get(match[1] or match[3] or "", (match[3] or "").upper())
    return Decimal(match[2]), code


def parse_moment(text: str, now: datetime) -> datetime:
    """``18:30`` (the next one after ``now``) or an ISO time; local unless it says its zone. Else a `ValueError`."""
    text = text.strip()
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        hour, minute = (int(part) for part in text.split(":"))
        found = now.astimezone().replace(hour=hour, minute=minute, second=0, microsecond=0)
        return (found if found > now else found + timedelta(days=1)).astimezone(UTC)
    return datetime.fromisoformat(text).astimezone(UTC)


def money_of(amount: tuple[Decimal, str]) -> Money:
    """An amount whose currency was said; one that core does not know gets as many decimals as were typed."""
    value, code = amount
    known = {"CNY": CNY, "USD": USD}
    exponent = value.as_tuple().exponent
    currency = known.get(code) or Currency(code, max(0, -exponent if isinstance(exponent, int) else 0))
    return currency.money(value)


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


class MomentType(click.ParamType[datetime]):
    """A time of the user's own clock and zone, unless it says its zone; the next such time when no day is said."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value, datetime.now(UTC))
        except ValueError:
            self.fail(
                _("{text} is no time; write 18:30 or 2026-11-24T18:30").format(text=repr(value)), param, ctx
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
MOMENT = MomentType()
MONEY = MoneyType()

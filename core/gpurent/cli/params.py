"""What people type: spans of time and amounts of money, in English and Chinese."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import click

from gpurent.domain.money_text import money_of as money_of, parse_money as parse_money
from gpurent.locale import _
from gpurent.locale.spans import parse_span


def parse_moment(text: str, now: datetime) -> datetime:
    """``18:30`` (the next one after ``now``) or an ISO time; local unless it says its zone. Else a `ValueError`."""
    text = text.strip()
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        hour, minute = (int(part) for part in text.split(":"))
        found = now.astimezone().replace(hour=hour, minute=minute, second=0, microsecond=0)
        return (found if found > now else found + timedelta(days=1)).astimezone(UTC)
    return datetime.fromisoformat(text).astimezone(UTC)


_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kKmMgG]?)(?:i?[bB])?(?:/s)?")
_SIZES = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def parse_rate(text: str) -> int:
    """``2MB/s``, ``500k``, ``800000``: bytes a second. Anything else is a `ValueError`."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"no rate: {text!r}")
    return int(Decimal(match[1]) * _SIZES[match[2].upper()])


class RateType(click.ParamType[int]):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_rate(value)
        except ValueError:
            self.fail(_("{text} is no rate; write 2MB/s or 500k").format(text=repr(value)), param, ctx)


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


class DeadlineType(click.ParamType[datetime | timedelta]):
    """A span from the lease's start, else a time as in `MomentType`."""

    name = "deadline"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        if isinstance(value, datetime | timedelta):
            return value
        try:
            return parse_span(value)
        except ValueError:
            return MOMENT.convert(value, param, ctx)


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


RATE = RateType()
SPAN = SpanType()
MOMENT = MomentType()
DEADLINE = DeadlineType()
MONEY = MoneyType()

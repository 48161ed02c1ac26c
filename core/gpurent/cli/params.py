"""What people type: spans, times, amounts of money, prices, terms; in English and Chinese."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import click

from gpurent.domain.field_values import parse_moment
from gpurent.domain.money import UnitPrice
from gpurent.domain.money_text import parse_amount, parse_price
from gpurent.domain.offer import DeclaredTerms, Metered
from gpurent.errors import UsageError
from gpurent.locale import N_, _
from gpurent.locale.durations import parse_duration
from gpurent.ports.connection import PortPair

T = TypeVar("T")
MomentOrSpan = datetime | timedelta

_BANDWIDTH_PATTERN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kKmMgG]?)(?:i?[bB])?(?:/s)?")
_UNIT_FACTORS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def parse_bandwidth(text: str) -> int:
    """``2MB/s``, ``500k``, ``800000``: bytes a second. Anything else is a `ValueError`."""
    match = _BANDWIDTH_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"no rate: {text!r}")
    return int(Decimal(match[1]) * _UNIT_FACTORS[match[2].upper()])


def parse_port_pair(text: str) -> PortPair:
    """Here and there: ``8888``, ``8889:8888``, ``0:8888`` for any free port here. Else a `ValueError`."""
    here, colon, there = text.partition(":")
    there = there if colon else here
    plain = here.isascii() and here.isdecimal() and there.isascii() and there.isdecimal()
    if not plain or max(len(here), len(there)) > 5 or not (int(here) < 65536 and 0 < int(there) < 65536):
        raise ValueError(f"no ports: {text!r}")
    return PortPair(int(here), int(there))


def parse_moment_or_span(text: str) -> MomentOrSpan:
    """A span from now on, or a time. Else a `ValueError`."""
    try:
        return parse_duration(text)
    except ValueError:
        return _parse_moment(text)


def _parse_moment(text: str) -> datetime:
    """A time of the user's own clock and zone, unless it says its zone; the next such time when no day is said."""
    return parse_moment(text, datetime.now(UTC))


class TypedParam(click.ParamType[T]):
    """What ``parse`` makes of a typed text; where that is a `ValueError`, ``refusal`` is said of the ``{text}``."""

    def __init__(self, name: str, parse: Callable[[str], T], refusal: str) -> None:
        self.name = name
        self._parse = parse
        self._error_text = refusal

    def convert(self, value: str | T, param: click.Parameter | None, ctx: click.Context | None) -> T:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError:
            self.fail(_(self._error_text).format(text=repr(value)), param, ctx)


BANDWIDTH = TypedParam("rate", parse_bandwidth, N_("{text} is no rate; write 2MB/s or 500k"))
SPAN = TypedParam("time", parse_duration, N_("{text} is no span of time; write 1d, 2h30m, 1天"))
MOMENT = TypedParam("moment", _parse_moment, N_("{text} is no time; write 18:30 or 2026-11-24T18:30"))
MONEY = TypedParam("money", parse_amount, N_("{text} is no amount of money; write 200CNY, ¥200, 200000DBC"))
PRICE = TypedParam("price", parse_price, N_("{text} is no price; write 3.5CNY/h, ¥3.5/h"))
MOMENT_OR_SPAN = TypedParam(
    "when", parse_moment_or_span, N_("{text} is no time; write 2h30m, 18:30 or 2026-11-24T18:30")
)
PORT_PAIR = TypedParam("port", parse_port_pair, N_("{text} is no port; write 8888, or 9000:8888"))


def declared_end_options(command: Callable[..., Any]) -> Callable[..., Any]:
    until = _("When the provider ends it: 2h30m, 18:30, 2026-11-24T18:30.")
    balance = _("What the account holds now, for this machine: 40CNY.")
    return click.option("--balance", type=MONEY, help=balance)(
        click.option("--until", type=MOMENT_OR_SPAN, help=until)(command)
    )


def no_browser_option(command: Callable[..., Any]) -> Callable[..., Any]:
    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            os.environ["GPURENT_CORE_BROWSER"] = "no"

    text = _("Print the pages to open; open none.")
    return click.option("--no-browser", is_flag=True, expose_value=False, callback=note, help=text)(command)


def resolve_end(when: MomentOrSpan | None, now: datetime) -> datetime | None:
    """The moment that was meant; one that has passed is a `UsageError`."""
    found = now + when if isinstance(when, timedelta) else when
    if found is not None and found <= now:
        raise UsageError(_("that time has passed"))
    return found


def make_terms(
    now: datetime, price: UnitPrice, balance: tuple[Decimal, str] | None, until: MomentOrSpan | None
) -> DeclaredTerms:
    from gpurent.workflow.manual.billing import parse_declared_amount

    held = parse_declared_amount(balance, price.currency.zero) if balance else None
    return DeclaredTerms(tariff=Metered(price=price), at=now, balance=held, until=resolve_end(until, now))

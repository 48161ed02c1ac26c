"""Click types for durations, times, rates, money and ports, and options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import click

from gpurent.domain.field_values import parse_time
from gpurent.domain.money import UnitPrice
from gpurent.domain.money_text import parse_amount, parse_price
from gpurent.domain.offer import DeclaredTerms, Metered
from gpurent.errors import UsageError
from gpurent.locale import N_, _
from gpurent.locale.durations import parse_duration
from gpurent.ports.connection import PortPair

T = TypeVar("T")
TimeOrDuration = datetime | timedelta

_RATE_PATTERN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kKmMgG]?)(?:i?[bB])?(?:/s)?")
_UNIT_FACTORS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def parse_rate(text: str) -> int:
    """Parse ``2MB/s``, ``500k`` or ``800000`` into bytes per second; raises `ValueError` for anything else."""
    match = _RATE_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a valid rate: {text!r}")
    return int(Decimal(match[1]) * _UNIT_FACTORS[match[2].upper()])


def parse_port_pair(text: str) -> PortPair:
    """Parse ``LOCAL:REMOTE``, or one port for both: ``9000:8888``, ``8888``; ``0:8888`` for any free local port.

    Raises `ValueError` for anything else.
    """
    local, colon, remote = text.partition(":")
    remote = remote if colon else local
    plain = all(port.isascii() and port.isdecimal() and len(port) <= 5 for port in (local, remote))
    if not plain or not (int(local) < 65536 and 0 < int(remote) < 65536):
        raise ValueError(f"not a valid port or pair of ports: {text!r}")
    return PortPair(int(local), int(remote))


def parse_time_or_duration(text: str) -> TimeOrDuration:
    """Parse a duration from now, or a time; raises `ValueError` for anything else."""
    try:
        return parse_duration(text)
    except ValueError:
        return _parse_time(text)


def _parse_time(text: str) -> datetime:
    """Parse a time, local unless it has a time zone; without a date it means its next occurrence."""
    return parse_time(text, datetime.now(UTC))


class ParsedParam(click.ParamType[T]):
    """A type that applies ``parse`` to the text; if it raises `ValueError`, ``error_text`` is shown with ``{text}``."""

    def __init__(self, name: str, parse: Callable[[str], T], error_text: str) -> None:
        self.name = name
        self._parse = parse
        self._error_text = error_text

    def convert(self, value: str | T, param: click.Parameter | None, ctx: click.Context | None) -> T:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError:
            self.fail(_(self._error_text).format(text=repr(value)), param, ctx)


class NumberParam(click.ParamType[int]):
    """A whole number from ``minimum`` to ``maximum``."""

    name = "number"

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (re.fullmatch(r"[0-9]{1,9}", text) and self._minimum <= int(text) <= self._maximum):
            expected = _("expected a whole number from {minimum} to {maximum}")
            self.fail(
                f"{text!r}: {expected.format(minimum=self._minimum, maximum=self._maximum)}", param, ctx
            )
        return int(text)


RATE = ParsedParam("rate", parse_rate, N_("{text} is not a valid rate; use e.g. 2MB/s or 500k"))
DURATION = ParsedParam("duration", parse_duration, N_("{text} is not a valid duration; use e.g. 1d or 2h30m"))
TIME = ParsedParam("time", _parse_time, N_("{text} is not a valid time; use e.g. 18:30 or 2026-11-24T18:30"))
MONEY = ParsedParam(
    "money", parse_amount, N_("{text} is not a valid amount of money; use e.g. 200CNY, ¥200 or 200000DBC")
)
PRICE = ParsedParam("price", parse_price, N_("{text} is not a valid price; use e.g. 3.5CNY/h or ¥3.5/h"))
TIME_OR_DURATION = ParsedParam(
    "time",
    parse_time_or_duration,
    N_("{text} is not a valid time; use e.g. 2h30m, 18:30 or 2026-11-24T18:30"),
)
PORT_PAIR = ParsedParam(
    "port",
    parse_port_pair,
    N_("{text} is not a valid port or LOCAL:REMOTE pair; use e.g. 8888 or 9000:8888"),
)


def declared_terms_options(command: Callable[..., Any]) -> Callable[..., Any]:
    until = _(
        "When the provider ends a machine that you rent manually, e.g. 2h30m, 18:30 or 2026-11-24T18:30."
    )
    balance = _("Balance of the account that pays for this machine, e.g. 40CNY.")
    return click.option("--balance", type=MONEY, help=balance)(
        click.option("--until", type=TIME_OR_DURATION, help=until)(command)
    )


def no_browser_option(command: Callable[..., Any]) -> Callable[..., Any]:
    def disable_browser(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            os.environ["GPURENT_CORE_BROWSER"] = "no"

    text = _("Print the pages to open instead of opening them.")
    return click.option(
        "--no-browser", is_flag=True, expose_value=False, callback=disable_browser, help=text
    )(command)


def resolve_end(when: TimeOrDuration | None, now: datetime) -> datetime | None:
    """Return the time that was meant; raises `UsageError` if it has passed."""
    found = now + when if isinstance(when, timedelta) else when
    if found is not None and found <= now:
        raise UsageError(_("that time is in the past"))
    return found


def make_terms(
    now: datetime, price: UnitPrice, balance: tuple[Decimal, str] | None, until: TimeOrDuration | None
) -> DeclaredTerms:
    from gpurent.workflow.manual.billing import parse_declared_amount

    declared_balance = parse_declared_amount(balance, price.currency.zero) if balance else None
    return DeclaredTerms(
        tariff=Metered(price=price), at=now, balance=declared_balance, until=resolve_end(until, now)
    )

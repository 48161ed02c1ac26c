"""Declared terms on the command line: a price, an end, what an account holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.params import MONEY, parse_moment
from gpurent.domain.money import UnitPrice
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.prices import parse_price
from gpurent.locale.spans import parse_span

if TYPE_CHECKING:
    from gpurent.domain.terms import Terms
    from gpurent.workflow.runtime.desk import Desk

When = datetime | timedelta


class PriceType(click.ParamType[UnitPrice]):
    name = "price"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UnitPrice:
        if isinstance(value, UnitPrice):
            return value
        try:
            return parse_price(value)
        except ValueError:
            self.fail(_("{text} is no price; write 3.5CNY/h, ¥3.5/h").format(text=repr(value)), param, ctx)


class WhenType(click.ParamType[When]):
    """A span from now on, or a time."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> When:
        if isinstance(value, When):
            return value
        try:
            return parse_span(value)
        except ValueError:
            pass
        try:
            return parse_moment(value, datetime.now(UTC))
        except ValueError:
            self.fail(
                _("{text} is no time; write 2h30m, 18:30 or 2026-11-24T18:30").format(text=repr(value)),
                param,
                ctx,
            )


PRICE = PriceType()
WHEN = WhenType()
_BALANCE = _("What the account holds now, for this machine: 40CNY.")
_UNTIL = _("When the provider ends it: 2h30m, 18:30, 2026-11-24T18:30.")


def ends_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--balance`` and ``--until`` on a command."""
    command = click.option("--until", type=WHEN, help=_UNTIL)(command)
    return click.option("--balance", type=MONEY, help=_BALANCE)(command)


def no_browser(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--no-browser``: pages are only printed."""

    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            import os

            os.environ["GPURENT_CORE_BROWSER"] = "no"

    text = _("Print the pages to open; open none.")
    option = click.option("--no-browser", is_flag=True, expose_value=False, callback=note, help=text)
    made: Callable[..., Any] = option(command)
    return made


def end_of(when: When | None, now: datetime) -> datetime | None:
    """The moment that was meant; one that has passed is a `UsageError`."""
    found = now + when if isinstance(when, timedelta) else when
    if found is not None and found <= now:
        raise UsageError(_("that time has passed"))
    return found


def terms_of(desk: Desk, price: UnitPrice, balance: tuple[Decimal, str] | None, until: When | None) -> Terms:
    """What the user declares, as of now."""
    from gpurent.domain.offer import Metered
    from gpurent.domain.terms import Terms
    from gpurent.workflow.manual.declare import declared_money

    now = desk.clock.now()
    held = declared_money(balance, price.currency.zero) if balance else None
    return Terms(tariff=Metered(price=price), at=now, balance=held, until=end_of(until, now))

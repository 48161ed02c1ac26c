"""``topup invoice withdraw``: money in, papers, money out. gpurent itself never pays or sends for these."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import provider_names
from gpurent.cli.params import MONEY
from gpurent.errors import MoneyError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.roles.billing import Balance, Invoice, TopUp
    from gpurent.workflow.payments.topups import TopUpInstructions, WithdrawalInstructions
    from gpurent.workflow.trips.operations import Service

_PROVIDER = click.argument("provider", shell_complete=provider_names)


@click.command("topup")
@_PROVIDER
@click.argument("amount", type=MONEY, required=False)
@click.option(
    "--wait/--no-wait", "wait", default=None, help=_("Wait until it is there (default, but with --json).")
)
@json_option
@click.pass_obj
def topup_command(app: App, provider: str, amount: tuple[Decimal, str] | None, wait: bool | None) -> None:
    """Show how AMOUNT gets into the account at PROVIDER, and wait until it is there.

    Without AMOUNT, as much as the account advises. gpurent itself never pays for this. Ctrl-C leaves; what you paid
    arrives all the same.
    """
    from gpurent.workflow.payments.topups import topup_instructions

    value, code = amount or (None, "")
    waits = not app.as_json if wait is None else wait
    found: list[tuple[TopUpInstructions, Balance | None]] = []

    async def go(service: Service) -> None:
        way = await topup_instructions(service.desk, provider, value, code)
        found.append((way, None))
        if not app.as_json:
            click.echo(_way_in_text(way))
        if waits:
            found.append((way, await _wait(app, service, provider, way)))

    try:
        app.run(go)
    except KeyboardInterrupt:
        click.echo(
            _("Left. gpurent paid nothing; what you paid arrives: gpurent balance {provider}").format(
                provider=provider
            ),
            err=True,
        )
        raise SystemExit(130) from None
    way, balance = found[-1]
    if app.as_json:
        app.show(_way_in_data(way, balance), "")


async def _wait(app: App, service: Service, provider: str, way: TopUpInstructions) -> Balance:
    from gpurent.workflow.payments.topups import wait_for_topup

    last = None
    async for balance, arrived in wait_for_topup(service.desk, provider, way):
        if balance.available != last and not app.as_json:
            word = _("It is there. Balance: {balance}") if arrived else _("Waiting. Balance: {balance}")
            click.echo(word.format(balance=balance.available), err=not arrived)
        last = balance.available
        if arrived:
            return balance
    raise AssertionError("the last look is an arrival or an error")


def _way_in_text(found: TopUpInstructions) -> str:
    lines = []
    if found.advice is not None:
        lines += [_("Advised: {amount}").format(amount=found.amount), found.advice.why]
    return "\n".join([*lines, *_way_lines(found.way)])


def _way_lines(way: TopUp) -> list[str]:
    from gpurent.cli.views.qr import drawable, qr_text

    lines = [f"{number}. {step}" for number, step in enumerate(way.steps, 1)]
    lines += [way.url] if way.url else []
    if way.qr and drawable():
        lines += [qr_text(way.qr)]
    if way.qr and way.qr != way.url:
        lines += [way.qr]
    return [*lines, *([way.advice] if way.advice else [])]


def _way_in_data(found: TopUpInstructions, balance: Balance | None) -> dict[str, Any]:
    way = found.way
    return {
        "steps": way.steps,
        "url": way.url,
        "qr": way.qr,
        "advice": way.advice,
        "amount": found.amount,
        "advised": found.advice,
        "before": found.before.available,
        "arrived": balance is not None,
        "balance": balance.available if balance is not None else None,
    }


@click.command("invoice")
@_PROVIDER
@click.argument("amount", type=MONEY, required=False)
@click.option(
    "--request", "-r", "wanted", is_flag=True, help=_("Ask for it now; what is missing is asked for.")
)
@click.option("--field", "-f", multiple=True, metavar="NAME=VALUE", help=_("What stands on the invoice."))
@json_option
@click.pass_obj
def invoice_command(
    app: App, provider: str, amount: tuple[Decimal, str] | None, wanted: bool, field: tuple[str, ...]
) -> None:
    """Show whether PROVIDER gives an invoice yet and how, or ask for it: over AMOUNT, or all that is open."""
    from gpurent.cli.commands.account import pairs
    from gpurent.workflow.payments import topups as cashier

    given = pairs(field)

    async def go(service: Service) -> tuple[Invoice, str]:
        found, fields = await cashier.invoice(service.desk, provider)
        if not wanted:
            return found, ""
        cashier.own_currency(service.desk, provider, amount[1] if amount else "")
        if not found.ready:
            raise MoneyError(_invoice_state(found), hint=_("Nothing was asked for."))
        money = found.open.currency.money(amount[0]) if amount else found.open
        answers = {
            name: given.get(name) or service.desk.need(label, hint=f"--field {name}=…")
            for name, label in fields
        }
        question = _("Ask for an invoice over {money}? {answers}").format(
            money=money, answers=", ".join(f"{name}: {value}" for name, value in answers.items())
        )
        if not service.desk.ui.confirm(question):
            raise UsageError(_("nothing was asked for"), hint=_("Say yes, or -y before the command's name."))
        return found, await cashier.ask_invoice(service.desk, provider, money, answers)

    found, number = app.run(go)
    lines = [_invoice_state(found)]
    if number:
        lines = [_("The invoice {number} was asked for.").format(number=number)]
    elif found.ready:
        lines += [f"{place}. {step}" for place, step in enumerate(found.steps, 1)]
        lines += [found.url, _("Or let gpurent ask: gpurent invoice {provider} -r").format(provider=provider)]
    app.show({"invoice": found, "requested": number or None}, "\n".join(lines))


def _invoice_state(found: Invoice) -> str:
    if found.ready:
        return _("An invoice can be had now, over {open}; {spent} were spent in all.").format(
            open=found.open, spent=found.spent
        )
    if found.spent < found.needed:
        return _(
            "An invoice can be had from {needed} spent; so far it is {spent}, {missing} are missing."
        ).format(needed=found.needed, spent=found.spent, missing=found.needed - found.spent)
    return _("Everything that was spent, {spent}, has its invoice.").format(spent=found.spent)


@click.command("withdraw")
@_PROVIDER
@click.argument("amount", type=MONEY, required=False)
@click.option(
    "--in",
    "code",
    metavar="CURRENCY",
    default="CNY",
    show_default=True,
    help=_("Say its value in CNY, USD, …"),
)
@json_option
@click.pass_obj
def withdraw_command(app: App, provider: str, amount: tuple[Decimal, str] | None, code: str) -> None:
    """Show how AMOUNT (default: all) gets out of the account at PROVIDER, and what it is worth. Sends nothing."""
    from gpurent.cli.views.offers import rate_lines
    from gpurent.workflow.payments.topups import own_currency, withdrawal_instructions

    value, typed = amount or (None, "")

    async def look(service: Service) -> WithdrawalInstructions:
        own_currency(service.desk, provider, typed)
        return await withdrawal_instructions(service.desk, provider, value, code.upper())

    found = app.run(look)
    rates = found.conversion.rates if found.conversion else ()

    def text() -> str:
        worth = (
            _("{amount} are worth about {worth} now.").format(amount=found.amount, worth=found.worth)
            if found.worth
            else _("Nobody says now what {amount} are worth.").format(amount=found.amount)
        )
        return "\n".join([*_way_lines(found.way), worth, *rate_lines(rates)])

    way = found.way
    data = {
        "steps": way.steps, "url": way.url, "advice": way.advice, "amount": found.amount, "worth": found.worth,
        "rates": rates, "oldest_rate": found.conversion.oldest if found.conversion else None,
    }  # fmt: skip
    app.show(data, text)

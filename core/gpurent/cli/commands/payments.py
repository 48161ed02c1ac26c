"""``topup invoice withdraw``: top-ups, invoices, withdrawals. gpurent itself never transfers money for these."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.arguments import provider_argument
from gpurent.cli.commands.account import parse_name_values
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.failures import get_exit_code
from gpurent.cli.output import Line, Page, write_line, write_page, write_text
from gpurent.cli.output_encoding import is_utf8_output
from gpurent.cli.params import MONEY
from gpurent.cli.views.offers import format_rates
from gpurent.cli.views.qr import format_qr
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.retention import RetentionEvent, describe_retention
from gpurent.errors import MoneyError
from gpurent.locale import _, join_list
from gpurent.roles.entries import LeaseEntry

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.domain.money import Money
    from gpurent.roles.account import Balance, InvoiceInfo, MoneyInstructions
    from gpurent.workflow.payments.topups import AccountMoney, TopUpInstructions, WithdrawalInstructions
    from gpurent.workflow.runtime.questions import Questions

# What an account without money leads to.
UNPAID_EVENTS = (RetentionEvent.BALANCE_USED_UP, RetentionEvent.STOPPED)


@click.command("topup")
@provider_argument
@click.argument("amount", type=MONEY, required=False)
@click.option(
    "--wait/--no-wait",
    "wait",
    default=None,
    help=_("Wait until the money arrives (default, except with --json)."),
)
@json_option
@click.pass_obj
def topup_command(
    app: CliContext, provider: str, amount: tuple[Decimal, str] | None, wait: bool | None
) -> None:
    """Show how to top up the account at PROVIDER by AMOUNT, and wait until the money arrives.

    Without AMOUNT, the suggested amount is used. You make the payment yourself; gpurent never does. Ctrl-C stops
    waiting; what you paid still arrives.
    """
    value, code = amount or (None, "")
    waits = not app.as_json if wait is None else wait

    async def go(application: Application) -> tuple[TopUpInstructions, Balance | None]:
        way = await application.account_money.topup_instructions(provider, value, code)
        if not app.as_json:
            advice = (
                [
                    _("Recommended top-up: {amount}").format(amount=way.amount),
                    _("Why: {reason}").format(reason=way.advice.reason),
                ]
                if way.advice
                else []
            )
            entry = app.registry.find_entry(LeaseEntry, provider)
            unpaid = describe_retention(entry.retention, *UNPAID_EVENTS) if entry else []
            write_page([*advice, *_instruction_lines(way.top_up), *unpaid])
        return way, await _wait_for_topup(app, application.account_money, provider, way) if waits else None

    try:
        way, balance = app.run(go)
    except KeyboardInterrupt as stop:
        write_text(
            _(
                "Stopped waiting. gpurent paid nothing; a payment you made will still arrive. Check "
                "with: gpurent balance {provider}"
            ).format(provider=provider),
            err=True,
        )
        raise SystemExit(get_exit_code(stop)) from None
    if app.as_json:
        app.show(_topup_json(way, balance), "")


async def _wait_for_topup(
    app: CliContext, money: AccountMoney, provider: str, way: TopUpInstructions
) -> Balance:
    last: Money | None = None

    def show_waiting(balance: Balance) -> None:
        nonlocal last
        if balance.available != last and not app.as_json:
            write_line(_("Waiting. Balance: {balance}").format(balance=balance.available), err=True)
        last = balance.available

    arrived = await money.wait_for_topup(provider, way, show_waiting)
    if not app.as_json:
        write_line(_("The money has arrived. Balance: {balance}").format(balance=arrived.available))
    return arrived


def _instruction_lines(way: MoneyInstructions) -> list[str | Line]:
    steps = [f"{number}. {step}" for number, step in enumerate(way.steps, 1)]
    code = format_qr(way.qr) if way.qr and is_utf8_output() else []
    page = _("Page: {url}").format(url=way.url) if way.url else ""
    encoded = _("In the QR code: {text}").format(text=way.qr) if way.qr != way.url and way.qr else ""
    below = (line for line in (encoded, way.advice) if line)
    return [*steps, *([page] if page else []), *code, *below]


def _topup_json(found: TopUpInstructions, balance: Balance | None) -> dict[str, Any]:
    way = found.top_up
    return {
        "steps": way.steps,
        "url": way.url,
        "qr": way.qr,
        "advice": way.advice,
        "amount": found.amount,
        "recommendation": found.advice,
        "balance_before": found.balance_before.available,
        "arrived": balance is not None,
        "balance": balance.available if balance is not None else None,
    }


@click.command("invoice")
@provider_argument
@click.argument("amount", type=MONEY, required=False)
@click.option(
    "--request", "-r", "wanted", is_flag=True, help=_("Request it now; gpurent asks for missing fields.")
)
@click.option("--field", "-f", multiple=True, metavar="NAME=VALUE", help=_("A field of the invoice."))
@json_option
@click.pass_obj
def invoice_command(
    app: CliContext, provider: str, amount: tuple[Decimal, str] | None, wanted: bool, field: tuple[str, ...]
) -> None:
    """Show whether and how PROVIDER issues an invoice, or request one over AMOUNT (default: all that is open)."""
    given = parse_name_values(field)

    async def go(application: Application) -> tuple[InvoiceInfo, str]:
        money, questions = application.account_money, application.questions
        found, fields = await money.get_invoice_info(provider)
        if not wanted:
            return found, ""
        money.require_currency(provider, amount[1] if amount else "")
        if not found.ready:
            raise MoneyError(_format_invoice_state(found), hint=_("No invoice was requested."))
        over = found.uninvoiced.currency.money(amount[0]) if amount else found.uninvoiced
        answers = {
            name: given.get(name) or await _ask_field(questions, provider, name, label)
            for name, label in fields
        }
        await _require_confirmation(questions, f"invoice:{provider}:{found.spent}", over, answers)
        return found, await money.request_invoice(provider, over, answers)

    found, number = app.run(go)
    lines = [_format_invoice_state(found)]
    if number:
        lines = [_("Invoice {number} was requested.").format(number=number)]
    elif found.ready:
        lines += [f"{place}. {step}" for place, step in enumerate(found.steps, 1)]
        lines += [
            found.url,
            _("Or let gpurent request it: gpurent invoice {provider} -r").format(provider=provider),
        ]
    app.show({"invoice": found, "number": number or None}, "\n".join(lines))


async def _ask_field(questions: Questions, provider: str, name: str, label: str) -> str:
    # A CODE: the answer for one invoice must not be reused for the next.
    question = Question(id=f"invoice:{provider}:{name}", kind=QuestionKind.CODE, text=label)
    return await questions.require_input(question, hint=f"--field {name}=…")


async def _require_confirmation(
    questions: Questions, about: str, over: Money, answers: dict[str, str]
) -> None:
    """Confirm the request; ``about`` identifies the question, together with the amount and the answers."""
    text = _("Request an invoice for {money}? {answers}").format(
        money=over, answers=join_list(f"{name}: {value}" for name, value in answers.items())
    )
    question = Question(id=f"{about}:{text}", kind=QuestionKind.CHOICE, text=text)
    await questions.require_yes(question, _("no invoice was requested"))


def _format_invoice_state(found: InvoiceInfo) -> str:
    if found.ready:
        return _("An invoice for {open} is available now; total spending is {spent}.").format(
            open=found.uninvoiced, spent=found.spent
        )
    if found.spent < found.minimum_spending:
        return _(
            "Invoices are available once you have spent {needed}; so far you have spent {spent}, {missing} too little."
        ).format(
            needed=found.minimum_spending, spent=found.spent, missing=found.minimum_spending - found.spent
        )
    return _("All spending so far, {spent}, has been invoiced.").format(spent=found.spent)


@click.command("withdraw")
@provider_argument
@click.argument("amount", type=MONEY, required=False)
@click.option(
    "--in",
    "code",
    metavar="CURRENCY",
    default="CNY",
    show_default=True,
    help=_("Currency to show the value in: CNY, USD, …"),
)
@json_option
@click.pass_obj
def withdraw_command(app: CliContext, provider: str, amount: tuple[Decimal, str] | None, code: str) -> None:
    """Show how to withdraw AMOUNT (default: all) from the account at PROVIDER, and what it is worth. Sends nothing."""
    value, typed = amount or (None, "")

    async def look(application: Application) -> WithdrawalInstructions:
        money = application.account_money
        money.require_currency(provider, typed)
        return await money.withdrawal_instructions(provider, value, code.upper())

    found = app.run(look)
    rates = found.conversion.rates if found.conversion else ()

    def text() -> Page:
        worth = (
            _("{amount} is now worth about {worth}.").format(amount=found.amount, worth=found.worth)
            if found.worth
            else _("No current exchange rate for {amount}.").format(amount=found.amount)
        )
        return [*_instruction_lines(found.withdrawal), worth, *format_rates(rates)]

    way = found.withdrawal
    data = {
        "steps": way.steps, "url": way.url, "advice": way.advice, "amount": found.amount, "worth": found.worth,
        "rates": rates, "oldest_rate_at": found.conversion.oldest_rate_at if found.conversion else None,
    }  # fmt: skip
    app.show(data, text)

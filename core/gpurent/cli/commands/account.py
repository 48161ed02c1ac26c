"""``login logout whoami email balance``, ``receipts costs reconcile``: accounts and spending."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.arguments import (
    account_option,
    add_account,
    complete_leases_and_trips,
    complete_providers,
    provider_argument,
)
from gpurent.cli.context import CliContext, json_option, wide_option
from gpurent.cli.views.charts import format_costs, format_findings
from gpurent.cli.views.render import format_receipt
from gpurent.cli.views.table import format_table
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import MoneyError, UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.roles.entries import AuthEntry, LeaseEntry

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.roles.account import Balance
    from gpurent.workflow.reports.ledger_findings import LedgerFinding


def parse_name_values(fields: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in fields:
        name, mark, value = text.partition("=")
        if not mark:
            raise UsageError(_("{text} is not in the form NAME=VALUE").format(text=text.partition("=")[0]))
        found[name] = value
    return found


@click.command("login")
@provider_argument
@account_option
@click.option(
    "--field",
    "-f",
    multiple=True,
    metavar="NAME=VALUE",
    help=_("A login field that is not secret, e.g. username=NAME."),
)
@click.option("--stdin", "from_stdin", metavar="NAME", help=_("Read this secret field from standard input."))
@json_option
@click.pass_obj
def login_command(
    app: CliContext, provider: str, account: str, field: tuple[str, ...], from_stdin: str | None
) -> None:
    """Log in to PROVIDER; missing fields are prompted for. The first use of a wallet creates its private key."""
    provider = add_account(provider, account)
    entry = app.registry.get_entry(LeaseEntry, provider)
    if not entry.auth:
        raise UsageError(_("{provider} does not need a login").format(provider=provider))
    auth = app.registry.get_entry(AuthEntry, entry.auth)
    given = parse_name_values(field)
    for declared in auth.fields:
        if declared.secret and declared.name in given:
            raise UsageError(
                _("{name} is secret and must not be given on the command line").format(name=declared.name),
                hint=_("Leave it out to be asked for it, or pipe it in with --stdin {name}.").format(
                    name=declared.name
                ),
            )
    if from_stdin:
        given[from_stdin] = sys.stdin.readline().rstrip("\n")
    login = app.run(lambda application: application.account_commands.log_in(provider, given))
    app.show(
        {"provider": provider, "account": login.account},
        _("Logged in to {provider} as {account}.").format(provider=provider, account=login.account),
    )


@click.command("logout")
@provider_argument
@click.option(
    "--forget-key",
    is_flag=True,
    help=_("Also delete the wallet's private key; without a backup its money is lost."),
)
@click.pass_obj
def logout_command(app: CliContext, provider: str, forget_key: bool) -> None:
    """Delete the login to PROVIDER. A wallet's private key is kept unless you ask for its deletion."""
    question = Question(
        id=f"forget:{provider}",
        kind=QuestionKind.DESTROY,
        text=_("Without a backup of the private key, all money in the wallet is lost. Delete the key?"),
    )

    async def leave(application: Application) -> None:
        if forget_key:
            await application.questions.require_yes(question, _("nothing was deleted"))
        await application.account_commands.log_out(provider, credentials=forget_key)

    app.run(leave)
    app.show({"provider": provider}, _("Logged out of {provider}.").format(provider=provider))


@click.command("whoami")
@click.option(
    "--show-key",
    metavar="PROVIDER",
    help=_("Print the private key generated for this provider, for your backup."),
)
@json_option
@click.pass_obj
def whoami_command(app: CliContext, show_key: str | None) -> None:
    """Show the accounts that you are logged in to."""

    async def look(application: Application) -> tuple[list[tuple[str, str]], dict[str, str]]:
        accounts = application.account_commands
        found = accounts.get_credentials(show_key) if show_key else {}
        keys = {name: secret.reveal() for name, secret in found.items()}
        return accounts.list_logins(), keys

    accounts, keys = app.run(look)
    if show_key:
        if not keys:
            raise UsageError(_("no credentials are stored for {provider}").format(provider=show_key))
        app.show({"provider": show_key, "credentials": keys}, "\n".join(f"{n}: {v}" for n, v in keys.items()))
        return
    data = [{"provider": name, "account": account} for name, account in accounts]
    app.show(
        data,
        format_table((_("provider"), _("account")), accounts)
        if accounts
        else _("You are not logged in to any provider."),
    )


@click.command("email")
@provider_argument
@click.argument("address", required=False, default="")
@account_option
@json_option
@click.pass_obj
def email_command(app: CliContext, provider: str, address: str, account: str) -> None:
    """Bind the e-mail ADDRESS to your account at PROVIDER, in place of the one that is bound; or show that one.

    If it costs something, the provider states the amount by e-mail to ADDRESS; you are asked before it is paid.
    Codes and SSH access are then sent there, so the mailbox in your settings has to be that of ADDRESS.
    """
    name = add_account(provider, account)

    async def go(application: Application) -> str:
        if address:
            return await application.mail_addresses.set_address(name, address)
        return await application.mail_addresses.get_bound_email(name)

    bound = app.run(go)
    app.show(
        {"provider": name, "email": bound},
        _("{provider}: {email} is bound").format(provider=name, email=bound)
        if bound
        else _("{provider}: no e-mail address is bound").format(provider=name),
    )


@click.command("balance")
@click.argument("provider", required=False, shell_complete=complete_providers)
@json_option
@click.pass_obj
def balance_command(app: CliContext, provider: str | None) -> None:
    """Show the balance at PROVIDER, or of every account that you are logged in to."""

    async def look(application: Application) -> list[tuple[str, Balance | None]]:
        known = application.account_commands.list_logins()
        names = [provider] if provider else [name for name, _account in known]
        return [(name, await application.account_money.find_balance(name)) for name in names]

    found = app.run(look)
    data = [{"provider": name, "balance": balance} for name, balance in found]
    rows = [
        (name, str(balance.available), str(balance.held or "-"))
        if balance
        else (name, _("billed afterwards"), "-")
        for name, balance in found
    ]
    head = (_("provider"), _("balance"), _("deposits held"))
    app.show(
        data, format_table(head, rows, right=(1, 2)) if rows else _("You are not logged in to any provider.")
    )


_DATE_TYPE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.command("receipts")
@click.argument("name", metavar="[LEASE|TRIP]", required=False, shell_complete=complete_leases_and_trips)
@json_option
@click.pass_obj
def receipts_command(app: CliContext, name: str | None) -> None:
    """Show what a lease or a trip cost, from the ledger and the provider's statement; all leases if none is named."""
    found = app.run(lambda application: application.receipts.list_receipts(name or ""))
    data = [{"receipt": receipt, "totals": receipt.totals()} for receipt in found]
    nameless = _("{provider} (not for a lease)")
    blocks = [
        f"{receipt.lease or nameless.format(provider=receipt.provider)}\n{format_receipt(receipt)}"
        for receipt in found
    ]
    app.show(data, "\n\n".join(blocks) or _("Nothing has been rented yet."))


def _assume_utc(given: datetime | None) -> datetime | None:
    return given.replace(tzinfo=UTC) if given is not None else None


@click.command("costs")
@click.option(
    "--by",
    type=click.Choice(("day", "provider", "gpu", "trip")),
    default="day",
    show_default=True,
    help=_("What to group the spending by."),
)
@click.option(
    "--in",
    "code",
    metavar="CURRENCY",
    default="",
    help=_("Convert to this currency, at the exchange rate of each entry."),
)
@click.option("--since", type=_DATE_TYPE, help=_("From this date on (UTC)."))
@click.option("--until", type=_DATE_TYPE, help=_("Before this date (UTC)."))
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=_("Write an HTML page with charts to this file."),
)
@click.option("--offline", is_flag=True, help=_("Use the ledger only; do not contact any provider."))
@wide_option
@json_option
@click.pass_obj
def costs_command(
    app: CliContext,
    by: str,
    code: str,
    since: datetime | None,
    until: datetime | None,
    html: Path | None,
    offline: bool,
    wide: bool,
) -> None:
    """Show what was spent; deposits and money on hold are not included."""
    report = app.run(
        lambda application: application.cost_reports.make_report(
            by,
            code.upper(),
            since=_assume_utc(since),
            until=_assume_utc(until),
            offline=offline,
            with_history=html is not None or app.as_json,
        )
    )
    if html is not None:
        from gpurent.cli.views.cost_page import render_cost_page
        from gpurent.composition.files import write_private_file

        try:
            write_private_file(html, render_cost_page(report.costs, report.history).encode())
        except OSError as error:
            text = _("cannot write {file}: {why}").format(file=html, why=describe_error(error))
            raise UsageError(text) from None
    lines = [
        format_costs(report.costs, wide=wide),
        *([_("Written: {file}").format(file=html)] if html else []),
    ]
    lines += [
        _("{name}: the latest charges may be missing ({reason})").format(name=name, reason=reason)
        for name, reason in report.sync_errors.items()
    ]
    lines += [
        _("The ledger cannot be believed: {reason}. See: gpurent reconcile").format(reason=finding.reason)
        for finding in report.damage
    ]
    data = {
        "damage": report.damage,
        "costs": report.costs,
        "leases": report.history.spans,
        "idle": report.history.idle,
        "sync_errors": report.sync_errors,
    }
    app.show(data, "\n".join(lines))


@click.command("reconcile")
@click.argument("provider", required=False, shell_complete=complete_providers)
@click.option("--enter", "entering", is_flag=True, help=_("Add the missing entries to the ledger."))
@click.option(
    "--accept",
    "accepting",
    is_flag=True,
    help=_("Accept the ledger as it is, after you restored a backup of it."),
)
@json_option
@click.pass_obj
def reconcile_command(app: CliContext, provider: str | None, entering: bool, accepting: bool) -> None:
    """Compare the ledger with the statement of PROVIDER, or of all providers. Exit code 5 if they differ."""

    async def look(application: Application) -> tuple[list[LedgerFinding], int, list[str], list[str]]:
        from gpurent.workflow.reports.ledger_findings import list_unreadable

        if provider:
            application.plugins.provider_entry(provider)
        books = application.reconciliation
        names = [provider] if provider else list(await books.list_comparable())
        silent = [name for name in names if not application.bookkeeping.has_statement(name)]
        if accepting:
            await application.ledger_check.accept_ledger()
        damage = await application.ledger_check.find_damage()
        found = [*damage, *[finding for name in names for finding in await books.compare_provider(name)]]
        await application.restore_checks.record_comparison(names, list_unreadable(found))
        if damage or not (entering and await books.enter_missing(found)):
            return found, 0, names, silent
        again = [finding for name in names for finding in await books.compare_provider(name)]
        return again, sum(len(finding.entries) for finding in found), names, silent

    found, entered, names, silent = app.run(look)
    data = {
        "findings": found,
        "entered": entered,
        "compared": names,
        "without_statement": silent,
        "consistent": all(finding.is_consistent for finding in found),
    }
    app.show(data, lambda: format_findings(found, entered, silent))
    if not data["consistent"]:
        raise SystemExit(MoneyError.exit_code)

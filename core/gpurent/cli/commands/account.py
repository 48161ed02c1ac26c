"""``login logout whoami balance``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import provider_names
from gpurent.cli.views.table import table
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.roles.billing import Balance
    from gpurent.workflow.trips.operations import Service

_PROVIDER = click.argument("provider", shell_complete=provider_names)


def pairs(fields: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` each."""
    found = {}
    for text in fields:
        name, mark, value = text.partition("=")
        if not mark:
            raise UsageError(_("{text} is not NAME=VALUE").format(text=text.partition("=")[0]))
        found[name] = value
    return found


@click.command("login")
@_PROVIDER
@click.option(
    "--field", "-f", multiple=True, metavar="NAME=VALUE", help=_("A login field that is no secret.")
)
@click.option("--stdin", "from_stdin", metavar="NAME", help=_("Read this secret field from standard input."))
@json_option
@click.pass_obj
def login_command(app: App, provider: str, field: tuple[str, ...], from_stdin: str | None) -> None:
    """Log in to PROVIDER; what is missing is asked for. The first use of a wallet makes its private key."""
    entry = app.registry.get("lease", provider)
    if not entry.auth:
        raise UsageError(_("{provider} needs no login").format(provider=provider))
    auth = app.registry.get("auth", entry.auth)
    given = pairs(field)
    for declared in auth.fields:
        if declared.secret and declared.name in given:
            raise UsageError(
                _("{name} is a secret and must not stand in a command line").format(name=declared.name),
                hint=_("Let it be asked for, or pipe it in with --stdin {name}.").format(name=declared.name),
            )
    if from_stdin:
        given[from_stdin] = sys.stdin.readline().rstrip("\n")
    login = app.run(lambda service: service.login(provider, given))
    app.show(
        {"provider": provider, "account": login.account},
        _("Logged in to {provider} as {account}.").format(provider=provider, account=login.account),
    )


@click.command("logout")
@_PROVIDER
@click.option(
    "--forget-key",
    is_flag=True,
    help=_("Forget a wallet's private key too; without a copy its money is lost."),
)
@click.pass_obj
def logout_command(app: App, provider: str, forget_key: bool) -> None:
    """Forget the login to PROVIDER. A wallet's private key is kept unless you say otherwise."""
    if forget_key and not app.yes:
        click.confirm(_("Without a copy of the key all its money is lost. Forget it?"), abort=True, err=True)

    async def leave(service: Service) -> None:
        service.logout(provider, credentials=forget_key)

    app.run(leave)
    app.show({"provider": provider}, _("Logged out of {provider}.").format(provider=provider))


@click.command("whoami")
@click.option(
    "--show-key", metavar="PROVIDER", help=_("Print the private key that was made, for your own copy.")
)
@json_option
@click.pass_obj
def whoami_command(app: App, show_key: str | None) -> None:
    """Show the accounts that are logged in."""

    async def look(service: Service) -> tuple[list[tuple[str, str]], dict[str, str]]:
        keys = {}
        if show_key:
            found = service.credentials(show_key)
            keys = {name: secret.reveal() for name, secret in found.items()}
        return service.whoami(), keys

    accounts, keys = app.run(look)
    if show_key:
        if not keys:
            raise UsageError(_("nothing is kept for {provider}").format(provider=show_key))
        app.show({"provider": show_key, "credentials": keys}, "\n".join(f"{n}: {v}" for n, v in keys.items()))
        return
    data = [{"provider": name, "account": account} for name, account in accounts]
    app.show(
        data,
        table((_("provider"), _("account")), accounts) if accounts else _("You are not logged in anywhere."),
    )


@click.command("balance")
@click.argument("provider", required=False, shell_complete=provider_names)
@json_option
@click.pass_obj
def balance_command(app: App, provider: str | None) -> None:
    """Show the balance at PROVIDER, or of every account that is logged in."""

    async def look(service: Service) -> list[tuple[str, Balance]]:
        names = [provider] if provider else [name for name, _account in service.whoami()]
        return [(name, await service.balance(name)) for name in names]

    found = app.run(look)
    data = [{"provider": name, "balance": balance} for name, balance in found]
    rows = [(name, str(balance.available), str(balance.held or "-")) for name, balance in found]
    head = (_("provider"), _("balance"), _("held"))
    app.show(data, table(head, rows, right=(1, 2)) if rows else _("You are not logged in anywhere."))

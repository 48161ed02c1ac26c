"""``vault``: whether the file of secrets is the one that was used last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.errors import InputRequired, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application

NO_VAULT = "none"


@click.group("vault")
def vault_command() -> None:
    """The encrypted file with your logins, passwords and keys."""


@vault_command.command("show")
@json_option
@click.pass_obj
def vault_show_command(app: CliContext) -> None:
    """Show whether the vault is the one that was used last here, and its SHA-256."""
    from gpurent.cli.terminal import QuietTerminal

    async def look(application: Application) -> tuple[str, str]:
        return application.secrets.hash_file(), application.secrets.describe_change()

    digest, change = app.run(look, QuietTerminal(quiet=app.as_json))
    if change:
        text = "\n".join([change, _("To use it: gpurent vault accept")])
    elif digest:
        text = _("This is the vault that was used last.")
    else:
        text = _("There is no vault yet; the first login creates it.")
    data = {"sha256": digest, "is_same": not change, "change": change}
    app.show(data, f"{text}\n{digest}".rstrip())


@vault_command.command("accept")
@click.option(
    "--sha256",
    "digest",
    metavar="HASH",
    default="",
    help=_("Accept exactly this vault, by its SHA-256, without being asked; none: that there is no vault."),
)
@json_option
@click.pass_obj
def vault_accept_command(app: CliContext, digest: str) -> None:
    """Use a vault that you restored or replaced yourself; an older or another one is refused otherwise."""
    from gpurent.cli.terminal import QuietTerminal

    async def accept(application: Application) -> str:
        found = application.secrets.hash_file() or NO_VAULT
        if digest and digest.lower() != found:
            raise UsageError(
                _("the SHA-256 of the vault is {digest}").format(digest=found),
                hint=_("Nothing was accepted."),
            )
        if digest:
            application.secrets.accept()
        elif not await application.secrets.confirm_accept():
            raise InputRequired(
                _("only you can accept the vault"),
                hint=_("Run this in a terminal. In a script: {command}").format(
                    command=f"gpurent vault accept --sha256 {found}"
                ),
            )
        return application.secrets.hash_file() or NO_VAULT

    found = app.run(accept, QuietTerminal(quiet=app.as_json) if digest else None)
    app.show({"sha256": found}, _("The vault is accepted."))

"""``vault``: the secrets of jobs, and whether the file of secrets is the one that was used last."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

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


class SecretNameType(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from gpurent.domain.job_variables import NAME_PATTERN

        if not re.fullmatch(NAME_PATTERN, str(value)):
            self.fail(_("a name has letters, digits and _, and begins with no digit"), param, ctx)
        return str(value)


def complete_secrets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from gpurent.composition.system import list_job_secrets

    return [name for name in list_job_secrets() if name.startswith(incomplete)]


secret_argument = click.argument("name", type=SecretNameType(), shell_complete=complete_secrets)


@vault_command.command("put")
@secret_argument
@click.option(
    "--stdin", "from_stdin", is_flag=True, help=_("Read it from stdin, to its end, without asking.")
)
@json_option
@click.pass_obj
def vault_put_command(app: CliContext, name: str, from_stdin: bool) -> None:
    """Store a secret for jobs, which `gpurent run --secret NAME` hands to a job as the variable NAME.

    It is asked for, and not shown; it is in no argument and no history of a shell. One of that name is replaced.
    """
    given = sys.stdin.read().removesuffix("\n") if from_stdin else ""

    async def put(application: Application) -> None:
        from gpurent.domain.question import Question, QuestionKind
        from gpurent.domain.secret import Secret
        from gpurent.workflow.connection.job_variables import JOB_SCOPE

        text = given
        if not from_stdin:
            question = _("Value of {name}").format(name=name)
            text = await application.questions.require_input(
                Question(id=f"vault:{name}", kind=QuestionKind.CODE, text=question, secret=True),
                hint=_("Run this in a terminal, or pipe it in: {command}").format(
                    command=f"gpurent vault put {name} --stdin"
                ),
            )
        if not text or "\0" in text:
            raise UsageError(_("a secret is not empty, and has no zero bytes"), hint=_("Nothing was stored."))
        await application.secrets.unlock(create=True)
        application.secrets.get_vault(JOB_SCOPE).put(name, Secret(text))

    app.run(put)
    app.show(
        {"name": name},
        _("{name} is in the vault. A job gets it with: {command}").format(
            name=name, command=f"gpurent run --secret {name} -- COMMAND"
        ),
    )


@vault_command.command("list")
@json_option
@click.pass_obj
def vault_list_command(app: CliContext) -> None:
    """List the names of the secrets for jobs; their values are not shown."""
    from gpurent.composition.system import list_job_secrets

    names = list_job_secrets()
    empty = _("There are no secrets for jobs. Store one: {command}").format(command="gpurent vault put NAME")
    app.show(names, "\n".join(names) or empty)


@vault_command.command("delete")
@secret_argument
@json_option
@click.pass_obj
def vault_delete_command(app: CliContext, name: str) -> None:
    """Delete a secret for jobs from the vault."""

    async def delete(application: Application) -> None:
        from gpurent.workflow.connection.job_variables import JOB_SCOPE

        if name not in application.secrets.list_names(JOB_SCOPE):
            raise UsageError(
                _("the vault has no secret {name} for jobs").format(name=name),
                hint=_("See: {command}").format(command="gpurent vault list"),
            )
        application.secrets.get_vault(JOB_SCOPE).delete(name)

    app.run(delete)
    app.show({"name": name}, _("{name} was deleted from the vault.").format(name=name))

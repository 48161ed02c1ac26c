"""``adopt declare``: machines that were rented outside gpurent."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.arguments import complete_providers, lease_argument
from gpurent.cli.commands.listing import run_and_show_lease
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.params import PRICE, TimeOrDuration, declared_terms_options, make_terms, resolve_end
from gpurent.domain.access import USER_SOURCE, Endpoint
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.roles.entries import LeaseEntry
from gpurent.roles.lease import MachineAccess

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.ports.connection import PrivateKey
    from gpurent.workflow.runtime.questions import Questions


@click.command("adopt")
@click.argument("line", metavar="'ssh USER@HOST -p PORT'")
@click.option(
    "--provider",
    "-p",
    required=True,
    shell_complete=complete_providers,
    help=_("Provider from which the machine was rented."),
)
@click.option(
    "--price",
    type=PRICE,
    default="0",
    help=_("The machine's price, e.g. 3.5CNY/h (default: none; no cost is recorded)."),
)
@declared_terms_options
@click.option(
    "--key",
    "key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help=_("The machine's private key file, to log in with instead of the password."),
)
@click.option(
    "--fingerprint", default="", metavar="SHA256:…", help=_("The machine's expected host key fingerprint.")
)
@click.option(
    "--stdin",
    "from_stdin",
    type=click.Choice(["password", "passphrase"]),
    help=_("Read the password or passphrase from standard input."),
)
@json_option
@click.pass_obj
def adopt_command(
    app: CliContext,
    line: str,
    provider: str,
    price: UnitPrice,
    balance: tuple[Decimal, str] | None,
    until: TimeOrDuration | None,
    key: Path | None,
    fingerprint: str,
    from_stdin: str | None,
) -> None:
    """Adopt a machine that you rented outside gpurent: from now on it is a lease like any other.

    The machine's password is prompted for (or read with --stdin password) and never appears on a command line. Its
    cost is computed from the price that you declare.
    """
    from gpurent.workflow.manual.adopt import AdoptionRequest

    endpoint = Endpoint.parse(line)
    app.registry.get_entry(LeaseEntry, provider)
    given = sys.stdin.readline().rstrip("\r\n") if from_stdin else ""

    async def adopt(application: Application) -> Lease:
        access, own = await _collect_access(application.questions, endpoint, key, given)
        terms = make_terms(application.clock.now(), price, balance, until)
        handed = AdoptionRequest(
            provider=provider, access=access, terms=terms, fingerprint=fingerprint, private_key=own
        )
        return await application.manual_commands.adopt_machine(handed)

    run_and_show_lease(app, adopt, with_machine=True)


async def _collect_access(
    questions: Questions, endpoint: Endpoint, key: Path | None, given: str
) -> tuple[MachineAccess, PrivateKey | None]:
    """Return how to log in: with the key in the file ``key``, else with the password.

    ``given`` is the secret if it was piped in: the key's passphrase or the password.
    """
    from gpurent.composition.files import load_private_key

    async def ask_passphrase() -> Secret | None:
        text = _("Passphrase for {path}").format(path=key)
        typed = given or await questions.ask_question(_make_secret_question(f"adopt:{key}", text))
        return Secret(typed) if typed else None

    if key is not None:
        return MachineAccess(endpoint=endpoint, source=USER_SOURCE), await load_private_key(
            key, ask_passphrase
        )
    password = given or await questions.require_input(
        _make_secret_question(f"adopt:{endpoint}", _("Password for {endpoint}").format(endpoint=endpoint)),
        hint=_("Pipe it in with --stdin password, or give a key file with --key."),
    )
    return MachineAccess(endpoint=endpoint, password=Secret(password), source=USER_SOURCE), None


def _make_secret_question(name: str, text: str) -> Question:
    return Question(id=name, kind=QuestionKind.CODE, text=text, secret=True)


@click.command("declare")
@lease_argument
@declared_terms_options
@json_option
@click.pass_obj
def declare_command(
    app: CliContext, lease: str, balance: tuple[Decimal, str] | None, until: TimeOrDuration | None
) -> None:
    """Update what you declared for an adopted machine, after a top-up or when its end has changed."""
    if balance is None and until is None:
        raise UsageError(_("nothing was declared"), hint=_("Use --balance 40CNY or --until 18:00."))

    async def declare(application: Application) -> Lease:
        return await application.manual_commands.declare_terms(
            lease, balance, resolve_end(until, application.clock.now())
        )

    run_and_show_lease(app, declare)

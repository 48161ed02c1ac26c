"""``adopt declare``: machines that were rented by hand."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids, provider_names
from gpurent.cli.views.declared_terms import PRICE, When, end_of, ends_options, terms_of
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.views.time_left import Times
    from gpurent.domain.lease import Lease
    from gpurent.domain.money import UnitPrice
    from gpurent.domain.secret import Secret
    from gpurent.workflow.manual.adopt import Handed
    from gpurent.workflow.runtime.desk import Desk
    from gpurent.workflow.trips.operations import Service


@click.command("adopt")
@click.argument("line", metavar="'ssh USER@HOST -p PORT'")
@click.option(
    "--provider", "-p", required=True, shell_complete=provider_names, help=_("Where it was rented.")
)
@click.option("--price", type=PRICE, default="0", help=_("What it costs: 3.5CNY/h; without: nothing."))
@ends_options
@click.option(
    "--key",
    "key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=_("A private key file that lets you in, instead of the password."),
)
@click.option("--fingerprint", default="", metavar="SHA256:…", help=_("What the host key must be."))
@click.option(
    "--stdin",
    "from_stdin",
    type=click.Choice(["password", "passphrase"]),
    help=_("Read it from standard input."),
)
@json_option
@click.pass_obj
def adopt_command(
    app: App,
    line: str,
    provider: str,
    price: UnitPrice,
    balance: tuple[Decimal, str] | None,
    until: When | None,
    key: Path | None,
    fingerprint: str,
    from_stdin: str | None,
) -> None:
    """Take over a machine that you rented by hand: from here on it is a lease like any other.

    Its password is asked for (or read with --stdin password), and never stands in a command line. What it costs is
    reckoned by the price that you declare.
    """
    from gpurent.cli.views.machine import machine_text
    from gpurent.cli.views.render import lease_text
    from gpurent.domain.access import Endpoint
    from gpurent.workflow.manual.commands import ByHand

    endpoint = Endpoint.parse(line)
    app.registry.get("lease", provider)
    given = sys.stdin.readline().rstrip("\r\n") if from_stdin else ""

    async def go(service: Service) -> tuple[Lease, Times]:
        from gpurent.cli.views.time_left import Times

        desk = service.desk
        terms = terms_of(desk, price, balance, until)
        handed = _handed(desk, endpoint, key, given, provider=provider, terms=terms, fingerprint=fingerprint)
        lease = await ByHand(desk).adopt(handed)
        return lease, await Times.of(desk, [lease])

    found, times = app.run(go)
    app.show(times.data(found), lambda: f"{lease_text(found, times)}\n\n{machine_text(found, app.registry)}")


def _handed(desk: Desk, endpoint: Any, key: Path | None, given: str, **rest: Any) -> Handed:
    """With what lets us in: the key file, else the password."""
    from gpurent.domain.secret import Secret
    from gpurent.infra.ssh.key_file import load_key
    from gpurent.roles.assisted import Access
    from gpurent.workflow.manual.adopt import Handed

    def passphrase() -> Secret | None:
        text = given or desk.ui.ask(_("The passphrase of {path}").format(path=key), secret=True)
        return Secret(text) if text else None

    if key is not None:
        return Handed(access=Access(endpoint=endpoint), own=load_key(key, passphrase), **rest)
    password = given or desk.need(
        _("The password of {endpoint}").format(endpoint=endpoint),
        secret=True,
        hint=_("Pipe it in with --stdin password, or give a key file with --key."),
    )
    return Handed(access=Access(endpoint=endpoint, password=Secret(password)), **rest)


@click.command("declare")
@click.argument("lease", shell_complete=lease_ids)
@ends_options
@json_option
@click.pass_obj
def declare_command(app: App, lease: str, balance: tuple[Decimal, str] | None, until: When | None) -> None:
    """Say how things stand now with a machine that was taken over by hand: after you paid in, or its end moved."""
    from gpurent.cli.views.render import lease_text
    from gpurent.workflow.manual.commands import ByHand

    if balance is None and until is None:
        raise UsageError(_("nothing was declared"), hint=_("--balance 40CNY, --until 18:00"))

    async def go(service: Service) -> tuple[Lease, Times]:
        from gpurent.cli.views.time_left import Times

        end = end_of(until, service.desk.clock.now())
        found = await ByHand(service.desk).declare(lease, balance, end)
        return found, await Times.of(service.desk, [found])

    found, times = app.run(go)
    app.show(times.data(found), lambda: lease_text(found, times))

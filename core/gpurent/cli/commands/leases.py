"""``rent ls show renew upgrade restart release``."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import click
from attrs import evolve

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids
from gpurent.cli.params import SPAN
from gpurent.cli.terms import PRICE, When, ends_options, no_browser, terms_of
from gpurent.cli.trip_options import PROVIDERS, one_provider
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.model.offer import Wish
from gpurent.model.trip import Want

if TYPE_CHECKING:
    from gpurent.cli.times import Times
    from gpurent.model.lease import Lease
    from gpurent.model.money import UnitPrice
    from gpurent.model.receipt import Receipt
    from gpurent.workflow.service import Service

_LEASE = click.argument("lease", shell_complete=lease_ids)


@click.command("rent")
@PROVIDERS
@click.option("--gpu", default="", help=_("A part of the GPU's name."))
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--machine", default="", help=_("Just this machine."))
@click.option("--cpu", is_flag=True, help=_("A CPU machine, where there is one."))
@click.option("--for", "term", type=SPAN, help=_("How long: 1d, 2h30m, 1天."))
@click.option("--disk", type=click.IntRange(0), default=0, help=_("Disk to buy, in GiB."))
@click.option("--price", type=PRICE, help=_("What a machine that you rent by hand costs: 3.5CNY/h."))
@ends_options
@no_browser
@json_option
@click.pass_obj
def rent_command(
    app: App,
    provider: tuple[str, ...],
    gpu: str,
    gpus: int,
    machine: str,
    cpu: bool,
    term: timedelta | None,
    disk: int,
    price: UnitPrice | None,
    balance: tuple[Decimal, str] | None,
    until: When | None,
) -> None:
    """Rent a machine and keep it until you release it."""
    from gpurent.cli.render import lease_text

    wish = Wish(gpu=gpu, gpus=0 if cpu else gpus, key=machine, cpu_only=cpu)
    if not provider:
        raise UsageError(_("say where: --provider"), hint=_("See: gpurent providers"))
    for name in provider:
        app.registry.get("lease", name)
    want = one_provider(Want(providers=provider, wish=wish, term=term, disk=disk, only_rent=True))

    async def go(service: Service) -> tuple[Lease, Times]:
        terms = terms_of(service.desk, price, balance, until) if price is not None else None
        made = await service.rent(evolve(want, declared=terms))
        return made, await _times(service, [made])

    found, times = app.run(go)
    app.show(times.data(found), lambda: lease_text(found, times))


async def _times(service: Service, leases: list[Lease], *, ask: bool = True) -> Times:
    from gpurent.cli.times import Times

    return await Times.of(service.desk, leases, ask=ask)


@click.command("ls")
@click.option("--all", "over", is_flag=True, help=_("Those that are over, too."))
@click.option("--refresh", "-r", is_flag=True, help=_("Ask their providers how they stand now."))
@json_option
@click.pass_obj
def ls_command(app: App, over: bool, refresh: bool) -> None:
    """List your leases as they were last seen; --refresh looks again."""
    from gpurent.cli.render import leases_text

    async def look(service: Service) -> tuple[list[Lease], Times]:
        leases = await service.leases(refresh=refresh, over=over)
        return leases, await _times(service, leases, ask=refresh)

    found, times = app.run(look)
    hint = "" if refresh or not found else "\n" + _("As last seen; --refresh asks the providers.")
    app.show([times.data(lease) for lease in found], lambda: leases_text(found, times) + hint)


@click.command("show")
@_LEASE
@click.option("--probe", is_flag=True, help=_("Look again at what is on the machine."))
@json_option
@click.pass_obj
def show_command(app: App, lease: str, probe: bool) -> None:
    """Show one lease in full, and what was found on its machine."""
    from gpurent.cli.machine import machine_text
    from gpurent.cli.render import lease_text

    async def look(service: Service) -> tuple[Lease, Times]:
        if probe:
            from gpurent.workflow.machine.survey import survey_lease

            await survey_lease(service.desk, lease)
        kept = await service.lease(lease)
        return kept, await _times(service, [kept])

    found, times = app.run(look)
    app.show(times.data(found), lambda: f"{lease_text(found, times)}\n\n{machine_text(found, app.registry)}")


@click.command("renew")
@_LEASE
@click.option("--for", "term", type=SPAN, required=True, help=_("How much more: 1d, 2h30m, 1天."))
@json_option
@click.pass_obj
def renew_command(app: App, lease: str, term: timedelta) -> None:
    """Buy more time for a prepaid lease."""
    from gpurent.cli.render import moment

    found = app.run(lambda service: service.renew(lease, term))
    app.show(
        found, lambda: _("{lease} runs until {until}.").format(lease=found.id, until=moment(found.expires_at))
    )


@click.command("upgrade")
@_LEASE
@click.option("--gpu", default="", help=_("A part of the GPU's name."))
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--for", "term", type=SPAN, help=_("How long: 1d, 2h30m, 1天."))
@json_option
@click.pass_obj
def upgrade_command(app: App, lease: str, gpu: str, gpus: int, term: timedelta | None) -> None:
    """Switch a staged (CPU) machine to its GPU; files stay, the deposit returns."""
    want = Want(wish=Wish(gpu=gpu, gpus=gpus), term=term)
    found = app.run(lambda service: service.upgrade(lease, want))
    app.show(found, lambda: f"{found.id}: {found.endpoint}")


@click.command("restart")
@_LEASE
@json_option
@click.pass_obj
def restart_command(app: App, lease: str) -> None:
    """Start a shut machine again with the files that were kept; a new lease."""
    found = app.run(lambda service: service.restart(lease))
    app.show(found, lambda: f"{found.id}: {found.endpoint}")


@click.command("release")
@_LEASE
@click.option("--confirmed", is_flag=True, help=_("You have ended it yourself, on the provider's page."))
@no_browser
@json_option
@click.pass_obj
def release_command(app: App, lease: str, confirmed: bool) -> None:
    """Give a machine back and show its receipt."""
    from gpurent.cli.render import receipt_text

    async def go(service: Service) -> Receipt:
        if confirmed:
            from gpurent.workflow.byhand.desk import ByHand

            return await ByHand(service.desk).release_confirmed(service, lease)
        return await service.release(lease)

    receipt = app.run(go)
    app.show({"receipt": receipt, "totals": receipt.totals()}, lambda: receipt_text(receipt))

"""``rent renew upgrade restart release``: what moves a lease."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import click
from attrs import evolve

from gpurent.cli.app import App, json_option
from gpurent.cli.commands.listing import LEASE, times_of
from gpurent.cli.params import SPAN
from gpurent.cli.trip_options import PROVIDERS, one_provider
from gpurent.cli.views.declared_terms import PRICE, When, ends_options, no_browser, terms_of
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripSpec
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.views.time_left import Times
    from gpurent.domain.lease import Lease
    from gpurent.domain.money import UnitPrice
    from gpurent.domain.receipt import Receipt
    from gpurent.workflow.trips.operations import Service


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
    from gpurent.cli.views.render import lease_text

    wish = Requirements(gpu=gpu, gpus=0 if cpu else gpus, key=machine, cpu_only=cpu)
    if not provider:
        raise UsageError(_("say where: --provider"), hint=_("See: gpurent providers"))
    for name in provider:
        app.registry.get("lease", name)
    want = one_provider(TripSpec(providers=provider, wish=wish, term=term, disk=disk, only_rent=True))

    async def go(service: Service) -> tuple[Lease, Times]:
        terms = terms_of(service.desk, price, balance, until) if price is not None else None
        made = await service.rent(evolve(want, declared=terms))
        return made, await times_of(service, [made])

    found, times = app.run(go)
    app.show(times.data(found), lambda: lease_text(found, times))


@click.command("renew")
@LEASE
@click.option("--for", "term", type=SPAN, required=True, help=_("How much more: 1d, 2h30m, 1天."))
@json_option
@click.pass_obj
def renew_command(app: App, lease: str, term: timedelta) -> None:
    """Buy more time for a prepaid lease."""
    from gpurent.cli.views.render import moment

    found = app.run(lambda service: service.renew(lease, term))
    app.show(
        found, lambda: _("{lease} runs until {until}.").format(lease=found.id, until=moment(found.expires_at))
    )


@click.command("upgrade")
@LEASE
@click.option("--gpu", default="", help=_("A part of the GPU's name."))
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--for", "term", type=SPAN, help=_("How long: 1d, 2h30m, 1天."))
@json_option
@click.pass_obj
def upgrade_command(app: App, lease: str, gpu: str, gpus: int, term: timedelta | None) -> None:
    """Switch a staged (CPU) machine to its GPU; files stay, the deposit returns."""
    want = TripSpec(wish=Requirements(gpu=gpu, gpus=gpus), term=term)
    found = app.run(lambda service: service.upgrade(lease, want))
    app.show(found, lambda: f"{found.id}: {found.endpoint}")


@click.command("restart")
@LEASE
@json_option
@click.pass_obj
def restart_command(app: App, lease: str) -> None:
    """Start a shut machine again with the files that were kept; a new lease."""
    found = app.run(lambda service: service.restart(lease))
    app.show(found, lambda: f"{found.id}: {found.endpoint}")


@click.command("release")
@LEASE
@click.option("--confirmed", is_flag=True, help=_("You have ended it yourself, on the provider's page."))
@no_browser
@json_option
@click.pass_obj
def release_command(app: App, lease: str, confirmed: bool) -> None:
    """Give a machine back and show its receipt."""
    from gpurent.cli.views.render import receipt_text

    async def go(service: Service) -> Receipt:
        if confirmed:
            from gpurent.workflow.manual.commands import ByHand

            return await ByHand(service.desk).release_confirmed(service, lease)
        return await service.release(lease)

    receipt = app.run(go)
    app.show({"receipt": receipt, "totals": receipt.totals()}, lambda: receipt_text(receipt))

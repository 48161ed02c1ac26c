"""``run plan trips resume``: the whole product."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.app import App, json_option
from gpurent.cli.arguments import lease_ids, trip_ids
from gpurent.cli.commands.listing import read_times
from gpurent.cli.params import PRICE, When, ends_options, no_browser, terms_of
from gpurent.cli.trip_spec import NO_PROJECT, PROJECT, spec_of, trip_options
from gpurent.cli.views.offers import preview_data, preview_text
from gpurent.cli.views.render import ListedTimes, moment, receipt_text
from gpurent.cli.views.table import table
from gpurent.domain.money import UnitPrice
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.workflow.trips.machine_work import TripEnd
    from gpurent.workflow.trips.previews import Preview

_DASHES = {"ignore_unknown_options": True}


@click.command("run", context_settings=_DASHES)
@trip_options
@PROJECT
@NO_PROJECT
@click.option("--lease", default="", shell_complete=lease_ids, help=_("Rent nothing: use this machine."))
@click.option("--price", type=PRICE, help=_("What a machine that you rent by hand costs: 3.5CNY/h."))
@ends_options
@no_browser
@click.option("--detach", "-d", is_flag=True, help=_("Leave once the job runs."))
@json_option
@click.pass_obj
def run_command(
    app: App,
    /,
    detach: bool,
    lease: str,
    project: Path | None,
    no_project: bool,
    price: UnitPrice | None,
    balance: tuple[Decimal, str] | None,
    until: When | None,
    **given: Any,
) -> None:
    """Make a whole trip with COMMAND: rent, upload this folder, run, bring the results home, give back.

    What the command line does not say comes from gpurent.toml, of this folder or one above (`gpurent init`).

    Ctrl-C leaves: the job runs on, and `gpurent resume` comes back to it.
    """
    spec = spec_of(app, project, no_project, given, lease=lease)

    async def go(application: Application) -> TripEnd:
        wanted = spec
        if lease:
            found = await application.leases.view_lease(lease)
            wanted = evolve(spec, lease=found.id, provider=found.provider)
        elif price is not None:
            wanted = evolve(spec, terms=terms_of(application.clock.now(), price, balance, until))
        return await application.trips.run(wanted, detach=detach)

    _finish(app, go)


@click.command("plan", context_settings=_DASHES)
@trip_options
@PROJECT
@NO_PROJECT
@json_option
@click.pass_obj
def plan_command(app: App, /, project: Path | None, no_project: bool, **given: Any) -> None:
    """Say what `gpurent run` with the same options would do and cost, leg by leg. Orders, pays and writes nothing."""
    spec = spec_of(app, project, no_project, given)

    async def look(application: Application) -> tuple[TripSpec, Preview]:
        resolved = await application.provider_selector.resolve(spec)
        return resolved, await application.dry_run.preview(resolved)

    resolved, found = app.run(look)
    app.show(preview_data(found), lambda: preview_text(found, resolved))


def _finish(app: App, go: Callable[[Application], Awaitable[TripEnd]]) -> None:
    """Do ``go``. Show how the trip ended, or how to come back to it; leaves with the job's own exit code."""
    try:
        end = app.run(go)
    except KeyboardInterrupt:
        _left(app)
        raise SystemExit(130) from None

    times = app.run(lambda application: _read_times(application, [end.lease])) if end.under_way else None

    def text() -> str:
        if times is not None:
            going = _(
                "The job runs on. {lease} costs money until it ends. Come back with: gpurent resume {trip}"
            ).format(lease=end.lease, trip=end.trip)
            return f"{going}\n{times.sentence(end.lease)}"
        if end.receipt:
            return receipt_text(end.receipt)
        return _("{lease} is yours until you release it.").format(lease=end.lease)

    data = {
        "trip": end.trip,
        "lease": end.lease,
        "under_way": end.under_way,
        "exit_code": end.exit_code,
        "receipt": end.receipt,
        "totals": end.receipt.totals() if end.receipt else [],
        "time_left": times.figure_data(end.lease) if times else None,
    }
    app.show(data, text)
    if end.exit_code:
        raise SystemExit(end.exit_code)


async def _read_times(application: Application, names: list[str]) -> ListedTimes:
    """Of the leases with these ids, as far as there are such leases."""
    found = [application.store.lease(name) for name in names]
    return await read_times(application, [lease for lease in found if lease is not None])


def _left(app: App) -> None:
    async def look(application: Application) -> list[tuple[str, str, ListedTimes]]:
        newest = application.store.open_trips()[-1:]
        return [(trip.id, trip.lease, await _read_times(application, [trip.lease])) for trip in newest]

    for trip, lease, times in app.run(look):
        click.echo("\n" + _("Left. What runs, runs on."), err=True)
        if lease in times.figures:
            click.echo(_("{lease} may still cost money: gpurent show {lease}").format(lease=lease), err=True)
            click.echo(times.sentence(lease), err=True)
        click.echo(_("Come back with: gpurent resume {trip}").format(trip=trip), err=True)


@click.command("trips")
@json_option
@click.pass_obj
def trips_command(app: App) -> None:
    """List the trips, finished and under way."""

    async def look(application: Application) -> tuple[Sequence[TripRecord], ListedTimes]:
        trips = application.trip_register.trips()
        leases = sorted({trip.lease for trip in trips if trip.under_way})
        return trips, await _read_times(application, leases)

    trips, times = app.run(look)
    data: list[dict[str, Any]] = [
        {
            "id": trip.id,
            "kind": trip.kind,
            "lease": trip.lease,
            "begun_at": trip.begun_at,
            "ended_at": trip.ended_at,
            "outcome": trip.outcome,
            "command": trip.spec.job.command,
            "time_left": times.figure_data(trip.lease) if trip.lease in times.figures else None,
        }
        for trip in trips
    ]
    cells = [
        (
            str(item["id"]),
            str(item["kind"]),
            str(item["lease"] or "-"),
            moment(item["begun_at"]),
            str(item["outcome"] or _("under way")),
            item["time_left"]["words"] if item["time_left"] and not item["outcome"] else "-",
            " ".join(item["command"])[:40],
        )
        for item in data
    ]
    head = (_("trip"), _("kind"), _("lease"), _("begun"), _("outcome"), _("time left"), _("command"))
    app.show(data, table(head, cells) if cells else _("No trip was ever made."))


@click.command("resume")
@click.argument("trip", required=False, default="", shell_complete=trip_ids)
@click.option("--detach", "-d", is_flag=True, help=_("Leave once the job runs."))
@no_browser
@json_option
@click.pass_obj
def resume_command(app: App, trip: str, detach: bool) -> None:
    """Go on with TRIP (default: the only one under way): what was done is not done again."""
    _finish(app, lambda application: application.trips.resume(trip, detach=detach))

"""``run plan trips resume``: the whole product."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids, trip_ids
from gpurent.cli.trip_options import trip_options, want_of
from gpurent.cli.views.declared_terms import PRICE, When, ends_options, no_browser, terms_of
from gpurent.cli.views.table import table
from gpurent.locale import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpurent.cli.views.time_left import Times
    from gpurent.domain.money import UnitPrice
    from gpurent.domain.trip import TripSpec
    from gpurent.infra.sqlite.journal import TripRow
    from gpurent.workflow.trips.dry_run import Preview
    from gpurent.workflow.trips.execute import TripEnd
    from gpurent.workflow.trips.operations import Service

_DASHES = {"ignore_unknown_options": True}


@click.command("run", context_settings=_DASHES)
@trip_options
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
    price: UnitPrice | None,
    balance: tuple[Decimal, str] | None,
    until: When | None,
    **given: Any,
) -> None:
    """Make a whole trip with COMMAND: rent, upload this folder, run, bring the results home, give back.

    What the command line does not say comes from gpurent.toml, of this folder or one above (`gpurent init`).

    Ctrl-C leaves: the job runs on, and `gpurent resume` comes back to it.
    """
    want = want_of(app, lease=lease, **given)

    async def go(service: Service) -> TripEnd:
        wanted = want
        if lease:
            found = await service.lease(lease)
            wanted = evolve(want, lease=found.id, provider=found.provider)
        elif price is not None:
            wanted = evolve(want, declared=terms_of(service.desk, price, balance, until))
        return await service.run(wanted, detach=detach)

    _finish(app, lambda: app.run(go))


@click.command("plan", context_settings=_DASHES)
@trip_options
@json_option
@click.pass_obj
def plan_command(app: App, /, **given: Any) -> None:
    """Say what `gpurent run` with the same options would do and cost, leg by leg. Orders, pays and writes nothing."""
    from gpurent.cli.views.plan import preview_data, preview_text
    from gpurent.workflow.trips.dry_run import preview
    from gpurent.workflow.trips.select_provider import resolved

    want = want_of(app, **given)

    async def look(service: Service) -> tuple[TripSpec, Preview]:
        made = await resolved(service.desk, want)
        return made, await preview(service.desk, made)

    made, found = app.run(look)
    app.show(preview_data(found), lambda: preview_text(found, made))


def _finish(app: App, go: Callable[[], TripEnd]) -> None:
    """Show how the trip ended, or how to come back to it; leaves with the job's own exit code."""
    from gpurent.cli.views.render import receipt_text

    try:
        end = go()
    except KeyboardInterrupt:
        _left(app)
        raise SystemExit(130) from None

    times = app.run(lambda service: _times(service, [end.lease])) if end.under_way else None

    def text() -> str:
        if times is not None:
            going = _(
                "The job runs on. {lease} costs money until it ends. Come back with: gpurent resume {trip}"
            ).format(lease=end.lease, trip=end.trip)
            return "\n".join([going, times.sentence(end.lease)])
        parts = (
            [receipt_text(end.receipt)]
            if end.receipt
            else [_("{lease} is yours until you release it.").format(lease=end.lease)]
        )
        return "\n".join(parts)

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


async def _times(service: Service, leases: list[str]) -> Times:
    from gpurent.cli.views.time_left import Times

    found = [service.desk.journal.lease(lease) for lease in leases]
    return await Times.of(service.desk, [lease for lease in found if lease is not None])


def _left(app: App) -> None:
    """What still costs money, and how to come back."""

    async def look(service: Service) -> list[tuple[str, str, Times]]:
        open_trips = [row for row in service.trips() if not row.outcome]
        return [(row.id, row.lease, await _times(service, [row.lease])) for row in open_trips[-1:]]

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
    from gpurent.cli.views.render import moment

    async def look(service: Service) -> tuple[list[TripRow], Times]:
        rows = list(service.trips())
        return rows, await _times(service, sorted({row.lease for row in rows if not row.outcome}))

    rows, times = app.run(look)
    data: list[dict[str, Any]] = [
        {
            "id": row.id,
            "kind": row.kind,
            "lease": row.lease,
            "begun_at": row.begun_at,
            "ended_at": row.ended_at,
            "outcome": row.outcome,
            "command": row.want.command,
            "time_left": times.figure_data(row.lease) if row.lease in times.figures else None,
        }
        for row in rows
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
    _finish(app, lambda: app.run(lambda service: service.resume(trip, detach=detach)))

"""``trips``, ``trips show``, ``trips cancel``: what the Store has about trips, and the end of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.arguments import complete_trips
from gpurent.cli.commands.listing import fetch_times_by_id
from gpurent.cli.context import CliContext, json_option, wide_option
from gpurent.cli.params import no_browser_option
from gpurent.cli.views.render import LeaseTimeTable, format_moment, format_receipt
from gpurent.cli.views.table import format_table
from gpurent.cli.views.trip_page import format_kind, format_trip, trip_json
from gpurent.domain.outcomes import format_outcome
from gpurent.domain.trip import TripRecord
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.workflow.reports.trip_report import TripReport
    from gpurent.workflow.trips.cancel import CancelledTrip

MAX_COMMAND_LENGTH = 40


@click.group("trips", invoke_without_command=True)
@wide_option
@json_option
@click.pass_context
def trips_command(ctx: click.Context, wide: bool) -> None:
    """List the trips, finished and open; show or cancel one."""
    if ctx.invoked_subcommand is not None:
        return
    app = ctx.find_object(CliContext)
    assert app is not None  # noqa: S101 - every command has one
    _list_trips(app, wide=wide)


def _list_trips(app: CliContext, *, wide: bool) -> None:
    async def look(application: Application) -> tuple[Sequence[TripRecord], LeaseTimeTable]:
        await application.open_trips.close_unordered_trips()
        trips = await application.trip_tracker.list_trips()
        leases = sorted({trip.lease for trip in trips if trip.is_open})
        return trips, await fetch_times_by_id(application, leases)

    trips, times = app.run(look)
    data: list[dict[str, Any]] = [
        {
            "id": trip.id,
            "kind": trip.kind,
            "lease": trip.lease,
            "started_at": trip.started_at,
            "ended_at": trip.ended_at,
            "outcome": trip.outcome_text,
            "command": trip.spec.job.command,
            "continues": trip.spec.continues,
            "time_left": times.figure_json(trip.lease) if trip.lease in times.figures else None,
        }
        for trip in trips
    ]
    head = [_("trip"), _("kind"), _("lease"), _("started"), _("state"), _("command")]
    cells = [
        [
            str(item["id"]),
            format_kind(str(item["kind"])),
            str(item["lease"] or "-"),
            format_moment(item["started_at"]),
            format_outcome(trip.outcome),
            " ".join(item["command"])[: None if wide else MAX_COMMAND_LENGTH],
        ]
        for trip, item in zip(trips, data, strict=True)
    ]
    if wide:
        head.insert(5, _("time left"))
        for row, item in zip(cells, data, strict=True):
            row.insert(5, item["time_left"]["text"] if item["time_left"] and not item["outcome"] else "-")
    app.show(data, format_table(head, cells, fit=not wide) if cells else _("There are no trips yet."))


@trips_command.command("show")
@click.argument("trip", shell_complete=complete_trips)
@json_option
@click.pass_obj
def show_command(app: CliContext, trip: str) -> None:
    """Show one trip: what was asked for, its steps, orders and payments, what it waits for, and what to type."""

    async def look(application: Application) -> TripReport:
        return await application.trip_reports.get_report(trip)

    report = app.run(look)
    app.show(lambda: trip_json(report), lambda: format_trip(report))


@trips_command.command("cancel")
@click.argument("trip", shell_complete=complete_trips)
@no_browser_option
@json_option
@click.pass_obj
def cancel_command(app: CliContext, trip: str) -> None:
    """Cancel an open trip: stop its job, download the results, release what it rented.

    A machine that was shut down to keep the results is started again to download them. A trip that ordered nothing is
    only closed.
    """

    async def cancel(application: Application) -> CancelledTrip:
        return await application.trip_cancellation.cancel_trip(trip)

    done = app.run(cancel)
    data = {
        "trip": done.trip,
        "lease": done.lease,
        "receipt": done.receipt,
        "totals": done.receipt.totals() if done.receipt else [],
    }

    def text() -> str:
        if done.receipt is not None:
            return format_receipt(done.receipt)
        if done.is_released:
            return _("{trip} was closed; {lease} was already over.").format(trip=done.trip, lease=done.lease)
        if done.lease:
            return _("{trip} was cancelled. {lease} is yours until you release it.").format(
                trip=done.trip, lease=done.lease
            )
        return _("{trip} was closed; it had not rented anything.").format(trip=done.trip)

    app.show(data, text)

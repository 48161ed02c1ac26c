"""``run plan resume``: whole trips."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.arguments import complete_leases, complete_trips
from gpurent.cli.commands.listing import fetch_times_by_id
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.job_command import JobCommand
from gpurent.cli.output import write_line
from gpurent.cli.params import PRICE, TimeOrDuration, declared_terms_options, make_terms, no_browser_option
from gpurent.cli.project_trust import review_project
from gpurent.cli.trip_spec import (
    add_field_options,
    build_preview_spec,
    build_trip_spec,
    collect_field_values,
    no_project_option,
    project_option,
    trip_options,
)
from gpurent.cli.views.plan import format_preview, preview_json
from gpurent.cli.views.render import format_receipt
from gpurent.cli.views.results import left_out_json, results_json
from gpurent.domain.money import UnitPrice
from gpurent.domain.transfer import sum_reports
from gpurent.domain.trip import ResultsSpec, TripSpec
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import BusyError, GpurentError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.views.render import LeaseTimeTable
    from gpurent.composition.application import Application
    from gpurent.workflow.trips.machine_work import TripResult
    from gpurent.workflow.trips.operations import ShowResult
    from gpurent.workflow.trips.previews import TripPreview


@click.command("run", cls=JobCommand)
@trip_options
@project_option
@no_project_option
@click.option(
    "--lease",
    default="",
    metavar="LEASE",
    shell_complete=complete_leases,
    help=_("Use this lease's machine instead of renting one."),
)
@click.option("--price", type=PRICE, help=_("Price of a machine that you rent manually, e.g. 3.5CNY/h."))
@declared_terms_options
@no_browser_option
@click.option("--detach", "-d", is_flag=True, help=_("Detach once the job is running."))
@json_option
@click.pass_obj
def run_command(
    app: CliContext,
    /,
    detach: bool,
    lease: str,
    project: Path | None,
    no_project: bool,
    price: UnitPrice | None,
    balance: tuple[Decimal, str] | None,
    until: TimeOrDuration | None,
    **given: Any,
) -> None:
    """Make a complete trip with COMMAND: rent, upload this folder, run, download the results, release.

    Options that are not given come from gpurent.toml in this folder or one above; `gpurent init` writes one.

    Ctrl-C detaches: the job keeps running, and `gpurent resume` returns to it.
    """
    spec = build_trip_spec(app, project, no_project, given, lease=lease)

    async def go(application: Application, show: ShowResult) -> TripResult:
        wanted = spec
        if lease:
            found = await application.leases.try_refresh_lease(lease)
            wanted = evolve(spec, lease=found.id, provider=found.provider)
        elif price is not None:
            wanted = evolve(spec, terms=make_terms(application.clock.now(), price, balance, until))
        wanted = application.provider_selector.name_candidates(wanted)
        known = await application.repeated_runs.find_trip_to_resume("run", wanted)
        if known:
            return await application.trips.resume(known, detach=detach, show=show)
        return await application.trips.run(wanted, detach=detach, show=show)

    _run_trip(app, go)


@click.command("plan", cls=JobCommand)
@trip_options
@project_option
@no_project_option
@json_option
@click.pass_obj
def plan_command(app: CliContext, /, project: Path | None, no_project: bool, **given: Any) -> None:
    """Show what `gpurent run` with the same options would do and cost, leg by leg. Orders, pays and writes nothing."""
    spec, found = build_preview_spec(app, project, no_project, given)

    async def look(application: Application) -> tuple[TripSpec, TripPreview]:
        resolved = await application.provider_selector.resolve_provider(spec)
        return resolved, await application.dry_run.preview_trip(resolved)

    resolved, preview = app.run(look)
    file = review_project(app, found, spec) if found is not None else None
    app.show(preview_json(preview, file), lambda: format_preview(preview, resolved, file))


def _run_trip(app: CliContext, go: Callable[[Application, ShowResult], Awaitable[TripResult]]) -> None:
    """Run ``go``, and show how the trip ended or how to resume it; exit with the job's exit code."""

    async def show(end: TripResult) -> None:
        _show_trip(app, end, None)

    async def run(application: Application) -> TripResult:
        end = await go(application, show)
        if end.job_running:
            _show_trip(app, end, await fetch_times_by_id(application, [end.lease_id]))
        return end

    end = app.run(run)
    if end.exit_code:
        raise SystemExit(end.exit_code)


def _show_trip(app: CliContext, end: TripResult, times: LeaseTimeTable | None) -> None:
    """``times``: of the trip's lease if the job keeps running."""

    def text() -> str:
        if times is not None:
            going = _(
                "The job keeps running. {lease} costs money until it ends. Resume with: gpurent resume {trip}"
            ).format(lease=end.lease_id, trip=end.trip_id)
            return f"{going}\n{times.format_sentence(end.lease_id)}"
        if end.receipt:
            return format_receipt(end.receipt)
        return _("{lease} is yours until you release it.").format(lease=end.lease_id)

    data = {
        "trip": end.trip_id,
        "lease": end.lease_id,
        "machine_folder": end.folder,
        "job_running": end.job_running,
        "exit_code": end.exit_code,
        "receipt": end.receipt,
        "totals": end.receipt.totals() if end.receipt else [],
        "results": results_json(end.results.saved, end.results.report) if end.results else None,
        **left_out_json(end.results.report if end.results else sum_reports(())),
        "time_left": times.figure_json(end.lease_id) if times else None,
    }
    app.show(data, text)


@click.command("resume")
@click.argument("trip", required=False, default="", shell_complete=complete_trips)
@click.option("--all", "every", is_flag=True, help=_("Resume every open trip, several at once."))
@click.option("--detach", "-d", is_flag=True, help=_("Detach once the job is running."))
@add_field_options(("results", "results_dir", "no_results"))
@no_browser_option
@json_option
@click.pass_obj
def resume_command(app: CliContext, /, trip: str, every: bool, detach: bool, **given: Any) -> None:
    """Resume TRIP (default: the only open one); completed steps are not repeated.

    The results options replace what the trip was started with.
    """
    values = collect_field_values(given)
    if values.get("results") and values.get("no_results"):
        raise UsageError(_("--results and --no-results cannot be used together"))
    if every:
        if trip or values:
            raise UsageError(_("--all takes no TRIP and no results options"))
        _resume_all(app, detach)
        return

    async def resume(application: Application, show: ShowResult) -> TripResult:
        await application.open_trips.close_unordered_trips()
        change = _make_results_change(values)
        return await application.trips.resume(trip, detach=detach, change_results=change, show=show)

    _run_trip(app, resume)


def _make_results_change(values: Mapping[str, Any]) -> Callable[[ResultsSpec], ResultsSpec] | None:
    """Return the change that the options of `resume` make; None without any."""
    if not values:
        return None
    wanted = make_trip_spec(values).results

    def change(results: ResultsSpec) -> ResultsSpec:
        if "results" in values or "no_results" in values:
            results = evolve(results, paths=wanted.paths, unwanted=wanted.unwanted)
        return evolve(results, dir=wanted.dir, root="") if "results_dir" in values else results

    return change


def _resume_all(app: CliContext, detach: bool) -> None:
    """Resume all open trips; print one line for each, and exit with the worst exit code."""
    from gpurent.cli.terminal import ManyTripsTerminal

    async def go(application: Application) -> list[dict[str, Any]]:
        await application.open_trips.close_unordered_trips()
        rows = []
        async for trip, end in application.open_trips.resume_all(detach=detach):
            rows.append(_resumed_json(trip, end))
            if not app.as_json:
                write_line(_format_resumed(trip, end))
        return rows

    rows = app.run(go, ManyTripsTerminal(quiet=app.as_json, yes=app.yes))
    if app.as_json or not rows:
        app.show(rows, _("no trip is in progress"))
    worst = max((int(row["exit_code"]) for row in rows), default=0)
    if worst:
        raise SystemExit(worst)


def _resumed_json(trip: str, end: TripResult | GpurentError) -> dict[str, Any]:
    """Return the row of a trip; one that another process works on goes on, which is no failure."""
    if isinstance(end, GpurentError):
        code = 0 if isinstance(end, BusyError) else end.exit_code
        return {
            "trip": trip,
            "error": end.code,
            "message": end.message,
            "burning": end.burning,
            "exit_code": code,
        }
    return {
        "trip": trip,
        "lease": end.lease_id,
        "job_running": end.job_running,
        "exit_code": end.exit_code or 0,
        "totals": end.receipt.totals() if end.receipt else [],
        **left_out_json(end.results.report if end.results else sum_reports(())),
    }


def _format_resumed(trip: str, end: TripResult | GpurentError) -> str:
    if isinstance(end, GpurentError):
        return f"{trip}: {end.message}"
    if end.job_running:
        return _("{trip}: the job keeps running").format(trip=trip)
    if end.exit_code:
        return _("{trip}: the job ended with exit code {code}").format(trip=trip, code=end.exit_code)
    return _("{trip}: done").format(trip=trip)

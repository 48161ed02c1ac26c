"""``run trips resume``: the whole product."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids, provider_names, trip_ids
from gpurent.cli.params import MONEY, SPAN, money_of
from gpurent.cli.table import table
from gpurent.cli.terms import PRICE, When, ends_options, no_browser, terms_of
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.model.offer import Wish
from gpurent.model.trip import OnError, Want

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpurent.adapters.journal import TripRow
    from gpurent.cli.times import Times
    from gpurent.model.money import UnitPrice
    from gpurent.workflow.run import TripEnd
    from gpurent.workflow.service import Service


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--provider", "-p", default="", shell_complete=provider_names, help=_("Where to rent."))
@click.option("--lease", default="", shell_complete=lease_ids, help=_("Rent nothing: use this machine."))
@click.option("--price", type=PRICE, help=_("What a machine that you rent by hand costs: 3.5CNY/h."))
@ends_options
@no_browser
@click.option("--gpu", default="", help=_("A part of the GPU's name."))
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--machine", default="", help=_("Just this machine."))
@click.option("--for", "term", type=SPAN, help=_("How long: 1d, 2h30m, 1天."))
@click.option("--budget", type=MONEY, help=_("The most that the trip may need: 200CNY, 200000DBC."))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help=_("What goes up."),
)
@click.option("--results", multiple=True, help=_("A name below the folder that comes home; repeat it."))
@click.option(
    "--home-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help=_("Where results go, if not to the folder."),
)
@click.option("--session", default="", help=_("screen, tmux, …"))
@click.option("--transfer", default="", help=_("What carries the files."))
@click.option("--launcher", default="", help=_("What turns the command into a process."))
@click.option("--name", default="", help=_("The session's name."))
@click.option("--disk", type=click.IntRange(0), default=0, help=_("Disk to buy, in GiB."))
@click.option(
    "--staged/--no-staged", default=None, help=_("Upload on a cheaper machine first, where there is one.")
)
@click.option("--keep", is_flag=True, help=_("Keep the machine when the job has ended."))
@click.option(
    "--on-error",
    type=click.Choice(["release", "keep"]),
    help=_("What happens to the machine then; keep with --lease, else release."),
)
@click.option("--detach", "-d", is_flag=True, help=_("Leave once the job runs."))
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run_command(
    app: App,
    provider: str,
    lease: str,
    price: UnitPrice | None,
    balance: tuple[Decimal, str] | None,
    until: When | None,
    gpu: str,
    gpus: int,
    machine: str,
    term: timedelta | None,
    budget: tuple[Decimal, str] | None,
    folder: Path,
    results: tuple[str, ...],
    home_dir: Path | None,
    session: str,
    transfer: str,
    launcher: str,
    name: str,
    disk: int,
    staged: bool | None,
    keep: bool,
    on_error: str | None,
    detach: bool,
    command: tuple[str, ...],
) -> None:
    """Make a whole trip with COMMAND: rent, upload this folder, run, bring the results home, give back.

    Ctrl-C leaves: the job runs on, and `gpurent resume` comes back to it.
    """
    for result in results:
        if Path(result).is_absolute() or ".." in Path(result).parts:
            raise UsageError(_("{name} does not lie below the folder").format(name=result))
    if budget is not None and not budget[1]:
        raise UsageError(_("a budget needs its currency"), hint="--budget 200CNY")
    if bool(provider) == bool(lease):
        raise UsageError(_("say where: --provider, or --lease"), hint="gpurent providers, gpurent ls")
    want = Want(
        wish=Wish(gpu=gpu, gpus=gpus, key=machine),
        provider=provider,
        term=term,
        budget=money_of(budget) if budget else None,
        command=command,
        folder=str(folder.resolve()),
        results=results,
        home=str(home_dir.resolve()) if home_dir else "",
        session=session,
        transfer=transfer,
        launcher=launcher,
        name=name,
        staged=staged,
        disk=disk,
        keep=keep,
        on_error=OnError(on_error or ("keep" if lease else "release")),
    )
    if provider:
        app.registry.get("lease", provider)

    async def go(service: Service) -> TripEnd:
        wanted = want
        if lease:
            found = await service.lease(lease)
            wanted = evolve(want, lease=found.id, provider=found.provider)
        elif price is not None:
            wanted = evolve(want, declared=terms_of(service.desk, price, balance, until))
        return await service.run(wanted, detach=detach)

    _finish(app, lambda: app.run(go))


def _finish(app: App, go: Callable[[], TripEnd]) -> None:
    """Show how the trip ended, or how to come back to it; leaves with the job's own exit code."""
    from gpurent.cli.render import receipt_text

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
    from gpurent.cli.times import Times

    found = [service.desk.journal.lease(lease) for lease in leases]
    return await Times.of(service.desk, [lease for lease in found if lease is not None])


def _left(app: App) -> None:
    """What still costs money, and how to come back."""

    async def look(service: Service) -> list[tuple[str, str, Times]]:
        open_trips = [row for row in service.trips() if not row.outcome]
        return [(row.id, row.lease, await _times(service, [row.lease])) for row in open_trips[-1:]]

    for trip, lease, times in app.run(look):
        click.echo("\n" + _("Left. What runs, runs on."), err=True)
        if lease:
            click.echo(_("{lease} may still cost money: gpurent show {lease}").format(lease=lease), err=True)
        if lease in times.figures:
            click.echo(times.sentence(lease), err=True)
        click.echo(_("Come back with: gpurent resume {trip}").format(trip=trip), err=True)


@click.command("trips")
@json_option
@click.pass_obj
def trips_command(app: App) -> None:
    """List the trips, finished and under way."""
    from gpurent.cli.render import moment

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

"""``gpurent top``: all leases, live."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import is_dumb_terminal, wait_for_enter
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from gpurent.cli.top.actions import LeaseOperations
    from gpurent.cli.top.app import TopApp
    from gpurent.composition.application import Application
    from gpurent.composition.system import EntryPointRegistry
    from gpurent.workflow.reports.overview import LeaseRow


@click.command("top")
@click.option("--once", is_flag=True, help=_("Print the table once and exit."))
@json_option
@click.pass_obj
def top_command(app: CliContext, once: bool) -> None:
    """Watch all leases live: state, time left, cost, load, and the sessions' last lines.

    Keys: a attach, p pull, r renew, x release (asks), u refresh, s sort, q quit.
    """
    if once or app.as_json:
        rows, now = app.run(_fetch_rows)
        app.show([_row_json(row) for row in rows], lambda: _format_rows(rows, now))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or is_dumb_terminal():
        raise UsageError(_("gpurent top needs a terminal"), hint=_("To print it once: gpurent top --once"))
    _run_screen(app, _load_screen_class())


def _load_screen_class() -> type[TopApp]:
    """Import the screen's class; its dependencies are an optional extra of the distribution."""
    try:
        from gpurent.cli.top.app import TopApp
    except ImportError as error:
        raise PluginError(
            _("gpurent top needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[tui]'",
        ) from error
    return TopApp


def _run_screen(app: CliContext, screen: type[TopApp]) -> None:
    from gpurent.cli.terminal import UserTerminal
    from gpurent.cli.top.screen_terminal import ScreenTerminal

    terminal = ScreenTerminal(UserTerminal(no_input=app.no_input))

    async def live(application: Application) -> None:
        overview = application.make_overview()
        await overview.reload_leases()
        shown = screen(overview, make_lease_operations(application), partial(_run_attach, app.registry))
        try:
            with terminal.redirect_to(shown.show_status, shown.confirm):
                await shown.run_async()
        finally:
            await overview.close()

    # Log output would overwrite the screen.
    evolve(app, verbose=0).run(live, terminal)


def make_lease_operations(application: Application) -> LeaseOperations:
    from gpurent.cli.top.actions import LeaseOperations

    return LeaseOperations(
        application.releases,
        application.lease_changes,
        application.release_review,
        application.file_commands,
        application.trip_tracker,
    )


def _run_attach(registry: EntryPointRegistry, lease: str) -> int:
    """Run `gpurent attach` in this terminal, as if it had been typed."""
    from gpurent.composition.own_commands import run_own_command

    code = run_own_command(registry, "attach", lease)
    if code:
        wait_for_enter(_("Press Enter to return to the table"))
    return code


async def _fetch_rows(application: Application) -> tuple[Sequence[LeaseRow], datetime]:
    import asyncio

    overview = application.make_overview()
    try:
        await overview.reload_leases()
        leases = [row.lease.id for row in overview.list_rows()]
        await asyncio.gather(overview.refresh_rows(), overview.refresh_machines(leases))
        return overview.list_rows(), application.clock.now()
    finally:
        await overview.close()


def _row_json(row: LeaseRow) -> dict[str, Any]:
    return {
        "lease": row.lease.id,
        "provider": row.lease.provider,
        "state": row.lease.state,
        "time_left": row.time_left,
        "low": row.is_low,
        "price": row.lease.current_price,
        "spent": row.spent,
        "gpu_load": row.sample.load,
        "output": row.sample.lines,
        "stale_reason": row.problem,
        "stale_since": row.stale_since,
    }


def _format_rows(rows: Sequence[LeaseRow], now: datetime) -> str:
    from gpurent.cli.views.table import format_table
    from gpurent.domain.money_text import format_hourly_price, format_rounded_money
    from gpurent.workflow.timing.time_left import format_time_left

    if not rows:
        return _("No machine is costing money now.")
    head = (_("lease"), _("state"), _("time left"), _("burn rate"), _("spent"), "GPU", _("last output"))
    cells = [
        (
            row.lease.id,
            row.lease.state_title,
            format_time_left(row.time_left),
            format_hourly_price(row.lease.current_price),
            " ".join(map(format_rounded_money, row.spent)) or "-",
            "-" if row.sample.load is None else f"{row.sample.load}%",
            row.problem or next(iter(row.sample.lines[-1:]), ""),
        )
        for row in rows
    ]
    return format_table(head, cells)

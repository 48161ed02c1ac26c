"""``gpurent top``: all leases, live."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App, json_option
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from gpurent.workflow.reports.overview import Row
    from gpurent.workflow.trips.operations import Service


@click.command("top")
@click.option("--once", is_flag=True, help=_("Look once, print, and leave."))
@json_option
@click.pass_obj
def top_command(app: App, once: bool) -> None:
    """Watch all leases live: state, time left, money, load, and the sessions' last lines.

    Keys: a attach, p pull, r renew, x release (asks), u refresh, s sort, q quit.
    """
    if once or app.as_json:
        rows, now = app.run(_look)
        app.show([_data(row) for row in rows], lambda: _text(rows, now))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(_("this needs a terminal"), hint=_("To look once: gpurent top --once"))
    _live(app, _table())


def _table() -> Any:
    """The screen's class; what it needs is an extra of the distribution."""
    try:
        from gpurent.cli.top.app import TopApp
    except ImportError as error:
        raise PluginError(
            _("gpurent top needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[tui]'",
        ) from error
    return TopApp


def _live(app: App, view: Any) -> None:
    import asyncio

    from gpurent.cli.top.ui import ScreenUi
    from gpurent.cli.ui import TerminalUi
    from gpurent.workflow.reports.overview import Overview
    from gpurent.workflow.runtime.desk import opened
    from gpurent.workflow.trips.operations import Service

    terminal = TerminalUi(no_input=app.no_input)
    ui = ScreenUi(terminal.ask)

    async def live() -> None:
        async with opened(app.registry, ui) as desk:
            # The passphrase is asked for now, not behind the screen.
            desk.vault.unlock()
            overview = Overview(desk)
            shown = view(Service(desk), overview, _attach)
            ui.say, ui.taken = shown.say, True
            try:
                await shown.run_async()
            finally:
                ui.say, ui.taken = terminal_say, False
                await overview.close()

    def terminal_say(text: str) -> None:
        click.echo(text, err=True)

    asyncio.run(live())


def _attach(lease: str) -> int:
    """`gpurent attach` with this terminal, as if it had been typed."""
    code = subprocess.call([sys.executable, "-m", "gpurent.cli.main", "attach", lease])
    if code:
        click.prompt(_("Enter: back to the table"), default="", show_default=False, prompt_suffix=" ")
    return code


async def _look(service: Service) -> tuple[Sequence[Row], datetime]:
    import asyncio

    from gpurent.workflow.reports.overview import Overview

    overview = Overview(service.desk)
    try:
        await asyncio.gather(
            overview.refresh(), overview.refresh_machines([row.lease.id for row in overview.rows()])
        )
        return overview.rows(), service.desk.clock.now()
    finally:
        await overview.close()


def _data(row: Row) -> dict[str, Any]:
    return {
        "lease": row.lease.id,
        "provider": row.lease.provider,
        "state": row.lease.state,
        "left": row.left,
        "low": row.low,
        "price": row.lease.offer.tariff.price,
        "spent": row.spent,
        "load": row.glimpse.load,
        "lines": row.glimpse.lines,
        "stale": row.problem,
        "since": row.since,
    }


def _text(rows: Sequence[Row], now: datetime) -> str:
    from gpurent.cli.views.render import STATES
    from gpurent.cli.views.table import table
    from gpurent.workflow.timing.time_text import words

    if not rows:
        return _("No machine costs you anything now.")
    head = (_("lease"), _("state"), _("time left"), _("burn rate"), _("spent"), "GPU", _("last line"))
    cells = [
        (
            row.lease.id,
            _(STATES[row.lease.state.value]),
            words(row.left),
            str(row.lease.offer.tariff.price),
            " ".join(str(money) for money in row.spent) or "-",
            "-" if row.glimpse.load is None else f"{row.glimpse.load}%",
            row.problem or next(iter(row.glimpse.lines[-1:]), ""),
        )
        for row in rows
    ]
    return table(head, cells)

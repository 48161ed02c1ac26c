"""``timer``: the machine's own way to shut itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids
from gpurent.cli.params import MOMENT, SPAN
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.domain.timer import Timer
    from gpurent.workflow.trips.operations import Service


@click.command("timer")
@click.argument("lease", shell_complete=lease_ids)
@click.option("--for", "term", type=SPAN, help=_("Shut it so long from now: 2h30m."))
@click.option("--until", type=MOMENT, help=_("Shut it then: 18:30, or 2026-11-24T18:30 (your own time)."))
@click.option("--extend", type=SPAN, help=_("So much later than now set."))
@click.option("--off", is_flag=True, help=_("No timer from here on."))
@json_option
@click.pass_obj
def timer_command(
    app: App, lease: str, term: timedelta | None, until: datetime | None, extend: timedelta | None, off: bool
) -> None:
    """Show or set when the machine shuts itself, whether this computer is there or not."""
    from gpurent.workflow.timing.timer_policy import Timers, told

    if sum((term is not None, until is not None, extend is not None, off)) > 1:
        raise UsageError(_("one of --for, --until, --extend and --off at a time"))

    async def go(service: Service) -> Timer:
        timers = Timers(service.desk)
        if off:
            return await timers.off(lease)
        if extend is not None:
            return await timers.extend(lease, extend)
        if term is not None or until is not None:
            return await timers.arm(lease, until or service.desk.clock.now() + (term or timedelta()))
        return await timers.state(lease)

    found = app.run(go)
    app.show(found, lambda: told(found))

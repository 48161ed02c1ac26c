"""``status``: everything that matters, on one page, without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpurent.cli.commands.listing import make_lease_list
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.views.status_page import format_status, status_json

if TYPE_CHECKING:
    from gpurent.cli.views.lease_list import LeaseList
    from gpurent.composition.state import StoredState
    from gpurent.workflow.timing.overall_status import OverallStatus


@click.command("status")
@json_option
@click.pass_obj
def status_command(app: CliContext) -> None:
    """Show everything that matters on one page: leases, money, open trips, the guard.

    It is what this computer knows; nobody is asked. `gpurent ls --refresh` and `gpurent balance` ask the providers.
    """

    async def look(state: StoredState) -> tuple[OverallStatus, LeaseList]:
        found = await state.status_reader.read_status()
        figures = await state.last_seen.get_last_seen(found.leases)
        return found, await make_lease_list(state, found.leases, figures)

    found, leases = app.read_state(look)
    app.show(lambda: status_json(found, leases), lambda: format_status(found, leases))

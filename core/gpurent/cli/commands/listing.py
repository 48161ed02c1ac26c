"""``ls show``. Imports only what a listing needs: `gpurent ls` is used often and must start at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from gpurent.cli.arguments import lease_argument
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.views.render import LeaseTimeTable, format_lease, format_leases, format_machine
from gpurent.domain.lease import Lease
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.composition.state import StoredState


async def fetch_times(application: Application, leases: Sequence[Lease]) -> LeaseTimeTable:
    """Fetch the time left of ``leases``; queries the accounts."""
    figures = await application.time_left.get_time_left(leases)
    return LeaseTimeTable.from_figures(leases, figures, application.time_warnings, application.machine_timers)


def show_lease(
    app: CliContext, act: Callable[[Application], Awaitable[Lease]], *, with_machine: bool = False
) -> None:
    """Run ``act`` and show the lease that it returns, optionally with what was found on its machine."""

    async def go(application: Application) -> tuple[Lease, LeaseTimeTable]:
        lease = await act(application)
        return lease, await fetch_times(application, [lease])

    def text() -> str:
        shown = format_lease(found, times)
        machine = format_machine(found, app.registry) if with_machine else ""
        return f"{shown}\n\n{machine}" if machine else shown

    found, times = app.run(go)
    app.show(times.lease_json(found), text)


@click.command("ls")
@click.option("--all", "over", is_flag=True, help=_("Include leases that have ended."))
@click.option("--refresh", "-r", is_flag=True, help=_("Ask the providers for the current state."))
@json_option
@click.pass_obj
def ls_command(app: CliContext, over: bool, refresh: bool) -> None:
    """List your leases as last seen; --refresh asks their providers."""

    async def ask(application: Application) -> tuple[list[Lease], LeaseTimeTable]:
        leases = await application.leases.list_refreshed_leases(include_over=over)
        return leases, await fetch_times(application, leases)

    def look(state: StoredState) -> tuple[list[Lease], LeaseTimeTable]:
        leases = state.leases.list_leases(include_over=over)
        figures = state.last_seen.get_last_seen(leases)
        return leases, LeaseTimeTable.from_figures(leases, figures, state.time_warnings, state.machine_timers)

    found, times = app.run(ask) if refresh else app.read_state(look)
    hint = "" if refresh or not found else "\n" + _("Last known state; use --refresh to ask the providers.")
    app.show(lambda: [times.lease_json(lease) for lease in found], lambda: format_leases(found, times) + hint)


@click.command("show")
@lease_argument
@click.option(
    "--probe", is_flag=True, help=_("Examine the machine again, without the tests of gpurent doctor.")
)
@json_option
@click.pass_obj
def show_command(app: CliContext, lease: str, probe: bool) -> None:
    """Show one lease in full, with what was found on its machine."""

    async def look(application: Application) -> Lease:
        if probe:
            await application.machine_facts.refresh_facts(lease)
        return await application.leases.try_refresh_lease(lease)

    show_lease(app, look, with_machine=True)

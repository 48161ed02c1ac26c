"""``ls show``. What a listing does not need stays out: `gpurent ls` is typed often, and starts at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.arguments import LEASE
from gpurent.cli.views.render import ListedTimes, lease_text, leases_text, machine_text
from gpurent.domain.lease import Lease
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.composition.state import StoredState


async def read_times(application: Application, leases: Sequence[Lease]) -> ListedTimes:
    """Asks the accounts."""
    figures = await application.time_left.read(leases)
    return ListedTimes.of(leases, figures, application.alarms, application.machine_timers)


def show_lease(
    app: App, act: Callable[[Application], Awaitable[Lease]], *, with_machine: bool = False
) -> None:
    """Show in full the lease that ``act`` gives, and what was found on its machine."""

    async def go(application: Application) -> tuple[Lease, ListedTimes]:
        lease = await act(application)
        return lease, await read_times(application, [lease])

    def text() -> str:
        shown = lease_text(found, times)
        return f"{shown}\n\n{machine_text(found, app.registry)}" if with_machine else shown

    found, times = app.run(go)
    app.show(times.data(found), text)


@click.command("ls")
@click.option("--all", "over", is_flag=True, help=_("Those that are over, too."))
@click.option("--refresh", "-r", is_flag=True, help=_("Ask their providers how they stand now."))
@json_option
@click.pass_obj
def ls_command(app: App, over: bool, refresh: bool) -> None:
    """List your leases as they were last seen; --refresh looks again."""

    async def ask(application: Application) -> tuple[list[Lease], ListedTimes]:
        leases = await application.leases.view_leases(over=over)
        return leases, await read_times(application, leases)

    def look(state: StoredState) -> tuple[list[Lease], ListedTimes]:
        leases = state.leases.list_leases(over=over)
        figures = state.last_seen.figures(leases)
        return leases, ListedTimes.of(leases, figures, state.alarms, state.machine_timers)

    found, times = app.run(ask) if refresh else app.read(look)
    hint = "" if refresh or not found else "\n" + _("As last seen; --refresh asks the providers.")
    app.show(lambda: [times.data(lease) for lease in found], lambda: leases_text(found, times) + hint)


@click.command("show")
@LEASE
@click.option("--probe", is_flag=True, help=_("Look again at what is on the machine."))
@json_option
@click.pass_obj
def show_command(app: App, lease: str, probe: bool) -> None:
    """Show one lease in full, and what was found on its machine."""

    async def look(application: Application) -> Lease:
        if probe:
            await application.machine_facts.read_lease(lease)
        return await application.leases.view_lease(lease)

    show_lease(app, look, with_machine=True)

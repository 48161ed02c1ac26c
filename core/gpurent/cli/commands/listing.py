"""``ls show``. Imports only what a listing needs: `gpurent ls` is used often and must start at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.arguments import lease_argument
from gpurent.cli.context import CliContext, json_option, wide_option
from gpurent.cli.output import Line, Page, join_blocks, write_line
from gpurent.cli.views.guard_status import find_guard_status
from gpurent.cli.views.lease_list import LeaseList, format_leases
from gpurent.cli.views.render import LeaseTimeTable, format_lease, format_machine
from gpurent.domain.lease import Lease
from gpurent.errors import GpurentError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.composition.state import StoredState
    from gpurent.domain.orphans import OrphanReport
    from gpurent.domain.time_left import TimeLeft
    from gpurent.workflow.runtime.plugins import Plugins


async def fetch_times(application: Application, leases: Sequence[Lease]) -> LeaseTimeTable:
    """Fetch the time left of ``leases``; queries the accounts."""
    figures = await application.time_left.get_time_left(leases)
    return await LeaseTimeTable.from_figures(
        leases, figures, application.time_warnings, application.machine_timers
    )


async def fetch_times_by_id(application: Application, names: Sequence[str]) -> LeaseTimeTable:
    """Fetch the time left of the leases with these IDs, as far as they exist."""
    found = [await application.store.find_lease(name) for name in names]
    return await fetch_times(application, [lease for lease in found if lease is not None])


def run_and_show_lease(
    app: CliContext, act: Callable[[Application], Awaitable[Lease]], *, with_machine: bool = False
) -> None:
    """Run ``act`` and show the lease that it returns, optionally with what was found on its machine."""

    async def go(application: Application) -> Problems:
        return await show_lease(app, application, await act(application), with_machine=with_machine)

    exit_if_unguarded(app.run(go))


async def show_lease(
    app: CliContext, application: Application, lease: Lease, *, with_machine: bool = False
) -> Problems:
    """Show a lease with its time left, optionally with what was found on its machine; return what hinders gpurent."""
    times = await fetch_times(application, [lease])
    problems = find_obstacles(application.plugins, [lease])

    def text() -> Page:
        shown = format_lease(lease, times)
        machine = format_machine(lease, app.registry) if with_machine and not problems else ""
        return join_blocks(([shown], [machine] if machine else [], *_format_problems(problems)))

    app.show(_add_problem(times.lease_json(lease), problems), text)
    return problems


Problems = Mapping[str, GpurentError]


def find_obstacles(plugins: Plugins, leases: Sequence[Lease]) -> Problems:
    """Return, by lease, why gpurent can do nothing about it although it may cost money."""
    return {
        lease.id: error
        for lease in leases
        if not lease.is_over and (error := plugins.find_obstacle(lease)) is not None
    }


def _format_problems(problems: Problems) -> list[Page]:
    return [
        [Line(line, "red") for line in (error.message, *error.hint.split("\n"))]
        for error in problems.values()
    ]


def _add_problem(lease: dict[str, Any], problems: Problems) -> dict[str, Any]:
    problem = problems.get(lease["id"])
    return {**lease, "problem": problem.message if problem is not None else ""}


def exit_if_unguarded(problems: Problems) -> None:
    if problems:
        raise SystemExit(next(iter(problems.values())).exit_code)


@click.command("ls")
@click.option("--all", "over", is_flag=True, help=_("Include leases that have ended."))
@click.option("--refresh", "-r", is_flag=True, help=_("Ask the providers for the current state."))
@wide_option
@json_option
@click.pass_obj
def ls_command(app: CliContext, over: bool, refresh: bool, wide: bool) -> None:
    """List your leases as last seen, what each costs, and what ends it first; --refresh asks their providers.

    What was spent is from the ledger; with a ~, it is counted from time and price, because the ledger has less.
    """

    async def ask(application: Application) -> tuple[LeaseList, Problems, bool]:
        # First: a lease that was taken for ended may turn out to be alive.
        report = await application.orphan_search.find_orphans(with_money=False)
        leases = await application.leases.list_refreshed_leases(include_over=over)
        figures = await application.time_left.get_time_left(leases)
        is_doubtful = _warn_of_orphans(report)
        found = await make_lease_list(application, leases, figures)
        return found, find_obstacles(application.plugins, leases), is_doubtful

    async def look(state: StoredState) -> tuple[LeaseList, Problems, bool]:
        leases = await state.leases.list_leases(include_over=over)
        found = await make_lease_list(state, leases, await state.last_seen.get_last_seen(leases))
        is_doubtful = bool(await state.lease_copier.list_lost_leases())
        return found, find_obstacles(state.plugins, leases), is_doubtful

    def text() -> str | Page:
        if not found.leases and is_doubtful:
            return _("The journal has no lease that costs money now; see the warning.")
        hint = (
            "" if refresh or not found.leases else _("Last known state; use --refresh to ask the providers.")
        )
        rows = [*format_leases(found, wide=wide), *([hint] if hint else [])]
        return [*rows, *(line for block in _format_problems(problems) for line in block)]

    found, problems, is_doubtful = app.run(ask) if refresh else app.read_state(look)
    app.show(lambda: [_add_problem(found.to_json(lease), problems) for lease in found.leases], text)
    exit_if_unguarded(problems)


async def make_lease_list(
    state: StoredState, leases: Sequence[Lease], figures: Mapping[str, TimeLeft]
) -> LeaseList:
    """Return what `gpurent ls` shows of ``leases``; ``figures`` has the time left of each, by id."""
    return LeaseList(
        leases=leases,
        times=await LeaseTimeTable.from_figures(leases, figures, state.time_warnings, state.machine_timers),
        outlooks=await state.lease_outlooks.get_outlooks(leases, figures),
        guard=await find_guard_status(state.store),
        now=state.clock.now(),
    )


def _warn_of_orphans(report: OrphanReport) -> bool:
    """Print one line on stderr for each machine that nobody here knows, and each provider that did not answer.

    Return whether something may burn that the list does not show.
    """
    from gpurent.cli.views.orphans import format_orphan

    for orphan in report.orphans:
        write_line(format_orphan(orphan), colour="yellow" if orphan.exit_code else None, err=True)
    if report.machines:
        write_line(_("See: gpurent orphans"), err=True)
    return any(orphan.exit_code for orphan in report.orphans)


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

    run_and_show_lease(app, look, with_machine=True)

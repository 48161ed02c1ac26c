"""``ls show``. What a listing does not need stays out: `gpurent ls` is typed often, and starts at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.views.time_left import Times
    from gpurent.domain.lease import Lease
    from gpurent.workflow.runtime.state import Records
    from gpurent.workflow.trips.operations import Service

LEASE = click.argument("lease", shell_complete=lease_ids)


async def times_of(service: Service, leases: list[Lease]) -> Times:
    from gpurent.cli.views.time_left import Times

    return await Times.of(service.desk, leases)


@click.command("ls")
@click.option("--all", "over", is_flag=True, help=_("Those that are over, too."))
@click.option("--refresh", "-r", is_flag=True, help=_("Ask their providers how they stand now."))
@json_option
@click.pass_obj
def ls_command(app: App, over: bool, refresh: bool) -> None:
    """List your leases as they were last seen; --refresh looks again."""
    from gpurent.cli.views.render import leases_text

    async def ask(service: Service) -> tuple[list[Lease], Times]:
        leases = await service.leases(over=over)
        return leases, await times_of(service, leases)

    def look(records: Records) -> tuple[list[Lease], Times]:
        from gpurent.cli.views.time_left import Times

        leases = records.leases(over=over)
        return leases, Times.read(records, leases)

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
    from gpurent.cli.views.machine import machine_text
    from gpurent.cli.views.render import lease_text

    async def look(service: Service) -> tuple[Lease, Times]:
        if probe:
            from gpurent.workflow.connection.machine_facts import survey_lease

            await survey_lease(service.desk, lease)
        kept = await service.lease(lease)
        return kept, await times_of(service, [kept])

    found, times = app.run(look)
    app.show(times.data(found), lambda: f"{lease_text(found, times)}\n\n{machine_text(found, app.registry)}")

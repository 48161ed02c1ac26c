"""``volume``: storage that outlives machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpurent.cli.arguments import complete_providers
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.views.render import format_receipt
from gpurent.cli.views.volumes import format_volume, format_volumes, volume_json
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.domain.volume import Volume
    from gpurent.workflow.reports.volume_list import VolumeList


@click.group("volume")
def volume_command() -> None:
    """Volumes: storage that outlives machines, costs money until it is deleted, and lies in one place."""


@volume_command.command("create")
@click.argument("name")
@click.option(
    "--provider",
    "-p",
    required=True,
    shell_complete=complete_providers,
    help=_("Provider at which to create it."),
)
@click.option("--size", type=click.IntRange(min=1), required=True, help=_("Size in GB."))
@click.option(
    "--region",
    default="",
    metavar="PLACE",
    help=_("Where, as the provider names it; machines that use it have to be there. Without it: a list."),
)
@json_option
@click.pass_obj
def create_command(app: CliContext, name: str, provider: str, size: int, region: str) -> None:
    """Create a volume called NAME. Typed again after a failure, it goes on, and never creates a second one."""

    async def create(application: Application) -> Volume:
        return await application.volume_commands.create_volume(provider, name, size, region)

    made = app.run(create)
    app.show(lambda: volume_json(made), lambda: format_volume(made))


@volume_command.command("list")
@click.option("--all", "over", is_flag=True, help=_("Include volumes that were deleted."))
@json_option
@click.pass_obj
def list_command(app: CliContext, over: bool) -> None:
    """List your volumes, and those that nobody here knows, as their providers show them now."""

    async def look(application: Application) -> VolumeList:
        return await application.volume_lists.list_volumes(include_over=over)

    found = app.run(look)
    app.show(lambda: [volume_json(volume) for volume in found.every], lambda: format_volumes(found))
    if found.unknown:
        raise SystemExit(8)


@volume_command.command("delete")
@click.argument("name")
@click.option("--provider", "-p", default="", shell_complete=complete_providers, help=_("Its provider."))
@json_option
@click.pass_obj
def delete_command(app: CliContext, name: str, provider: str) -> None:
    """Delete the volume NAME (your name, or the provider's) with every file on it, and show what it has cost."""
    receipt = app.run(lambda application: application.volume_commands.delete_volume(name, provider))
    app.show({"receipt": receipt, "totals": receipt.totals()}, lambda: format_receipt(receipt))


@volume_command.command("adopt")
@click.argument("ref")
@click.option("--name", default="", help=_("What to call it (default: as its provider does)."))
@click.option("--provider", "-p", default="", shell_complete=complete_providers, help=_("Its provider."))
@json_option
@click.pass_obj
def adopt_command(app: CliContext, ref: str, name: str, provider: str) -> None:
    """Make one of yours of the volume that its provider calls REF, so that machines can be rented with it."""
    made = app.run(lambda application: application.volume_commands.adopt_volume(ref, provider, name))
    app.show(lambda: volume_json(made), lambda: format_volume(made))

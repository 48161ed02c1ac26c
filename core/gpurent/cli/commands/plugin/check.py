"""``plugin check``: whether a plugin is right, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from gpurent.cli.commands.plugin.group import plugin_command
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_line
from gpurent.cli.params import MONEY
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.plugin_check.report import PluginReport


@plugin_command.command("check")
@click.argument("name")
@click.option("--quick", is_flag=True, help=_("Leave out the contracts, which take most of the time."))
@click.option(
    "--live",
    is_flag=True,
    help=_("Also ask the service, with your account: offers, leases, balance. Nothing is ordered or paid."),
)
@click.option(
    "--spend",
    type=MONEY,
    metavar="MONEY",
    help=_("With --live: also make a trip with its cheapest machine, for at most this, and release it."),
)
@json_option
@click.pass_obj
def plugin_check_command(
    app: CliContext, name: str, quick: bool, live: bool, spend: tuple[Decimal, str] | None
) -> None:
    """Check the installed plugin NAME: its entries, imports, texts, requirements and contracts, and name its level.

    Without --live, nothing outside this computer is asked. Exits with 1 if something is wrong.
    """
    from gpurent.cli.views.plugin_report import format_report

    if spend is not None and not live:
        raise UsageError(_("--spend needs --live"))
    if app.registry.left_out:  # the sandboxes of the contracts would load them
        raise UsageError(_("a check runs the code of every installed plugin: it cannot be made with --safe"))
    report = _load_examination()(name, app.registry, quick=quick, tell=_tell_progress)
    data = report.to_data() | {"live": None}
    if live:
        from gpurent.cli.commands.plugin.live import ask_live

        data["live"] = ask_live(app, report.entries, spend)
        data["ok"] = data["ok"] and data["live"]["ok"]
    app.show(data, lambda: format_report(data))
    if not data["ok"]:
        raise SystemExit(1)


def _load_examination() -> Callable[..., PluginReport]:
    """Import the examination; what it needs is an optional extra of the distribution."""
    try:
        import pytest  # noqa: F401 - the contracts are tests

        from gpurent.testing.plugin_check.examine import examine_plugin
    except ImportError as error:
        raise PluginError(
            _("checking a plugin needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[testing]'",
        ) from error
    return examine_plugin


def _tell_progress(text: str) -> None:
    write_line(_("running {what} …").format(what=text), err=True)

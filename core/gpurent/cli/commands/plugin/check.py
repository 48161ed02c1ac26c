"""``plugin check``: whether a plugin is right, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.commands.plugin.group import plugin_command
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_line
from gpurent.cli.params import MONEY
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.plugin_check.replay.replay import ReplayReport
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
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=_("Let the plugin read the answers in FILE, which `gpurent --record` wrote; implies --quick."),
)
@json_option
@click.pass_obj
def plugin_check_command(
    app: CliContext,
    name: str,
    quick: bool,
    live: bool,
    spend: tuple[Decimal, str] | None,
    replay: Path | None,
) -> None:
    """Check the installed plugin NAME: its entries, imports, texts, requirements and contracts, and name its level.

    Without --live, nothing outside this computer is asked. Exits with 1 if something is wrong, or if the plugin does
    not understand a recorded answer.
    """
    from gpurent.cli.views.plugin_report import format_report

    if spend is not None and not live:
        raise UsageError(_("--spend needs --live"))
    if app.registry.left_out:  # the sandboxes of the contracts would load them
        raise UsageError(_("a check runs the code of every installed plugin: it cannot be made with --safe"))
    examine, replay_file = _load_examination()
    report = examine(name, app.registry, quick=quick or replay is not None, tell=_tell_progress)
    data = report.to_data() | {"live": None, "replay": None}
    if replay is not None:
        data["replay"] = replay_file(replay, app.registry, report.entries).to_data()
        data["ok"] = data["ok"] and data["replay"]["ok"]
    if live:
        from gpurent.cli.commands.plugin.live import ask_live

        data["live"] = ask_live(app, report.entries, spend)
        data["ok"] = data["ok"] and data["live"]["ok"]
    app.show(data, lambda: format_report(data))
    if not data["ok"]:
        raise SystemExit(1)


def _load_examination() -> tuple[Callable[..., PluginReport], Callable[..., ReplayReport]]:
    """Import the examination; what it needs is an optional extra of the distribution."""
    try:
        import pytest  # noqa: F401 - the contracts are tests

        from gpurent.testing.plugin_check.examine import examine_plugin
        from gpurent.testing.plugin_check.replay.replay import replay_file
    except ImportError as error:
        raise PluginError(
            _("checking a plugin needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[testing]'",
        ) from error
    return examine_plugin, replay_file


def _tell_progress(text: str) -> None:
    write_line(_("running {what} …").format(what=text), err=True)

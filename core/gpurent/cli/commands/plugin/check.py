"""``plugin check``: whether a plugin is right, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from gpurent.cli.commands.plugin.group import plugin_command
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_line
from gpurent.errors import PluginError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.plugin_check.report import PluginReport


@plugin_command.command("check")
@click.argument("name")
@click.option("--quick", is_flag=True, help=_("Leave out the contracts, which take most of the time."))
@json_option
@click.pass_obj
def plugin_check_command(app: CliContext, name: str, quick: bool) -> None:
    """Check the installed plugin NAME: its entries, imports, texts, requirements and contracts, and name its level.

    Nothing outside this computer is asked. Exits with 1 if something is wrong.
    """
    from gpurent.cli.views.plugin_report import format_report

    report = _load_examination()(name, quick=quick, tell=_tell_progress)
    app.show(report.to_data(), lambda: format_report(report.to_data()))
    if not report.ok:
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

"""``gpurent plugins``: starts at once, imports no plugin's heavy module."""

from __future__ import annotations

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.views.table import table
from gpurent.locale import _


@click.command("plugins")
@json_option
@click.pass_obj
def plugins_command(app: App) -> None:
    """List the plugins, what they bring, and what is wrong with them."""
    registry = app.registry
    data = {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "entries": [{"kind": kind, "name": name} for kind, name in plugin.entries],
            }
            for plugin in registry.plugins
            if plugin.version
        ],
        "problems": [
            {"plugin": problem.plugin, "distribution": problem.distribution, "what": problem.what}
            for problem in registry.problems
        ],
    }

    def text() -> str:
        rows = [
            (
                plugin.distribution,
                plugin.version,
                ", ".join(f"{kind} {name}" for kind, name in plugin.entries),
            )
            for plugin in registry.plugins
            if plugin.version
        ]
        broken = [(problem.distribution, "BROKEN", problem.what) for problem in registry.problems]
        head = (_("plugin"), _("version"), _("brings"))
        return table(head, [*rows, *broken])

    app.show(data, text)

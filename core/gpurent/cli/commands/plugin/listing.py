"""``plugin list``: starts fast, since no heavy module of a plugin is imported."""

from __future__ import annotations

import click

from gpurent.cli.commands.plugin.group import plugin_command
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.views.table import format_table
from gpurent.composition import system
from gpurent.locale import _, join_list

SHOWN_DIGITS = 12


@plugin_command.command("list")
@json_option
@click.pass_obj
def plugin_list_command(app: CliContext) -> None:
    """List the plugins, what they provide, and their problems."""
    registry = app.registry
    first = system.list_first_origins()
    left_out = [plugin.origin for plugin in registry.left_out]
    data = {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "sha256": plugin.origin.sha256,
                "first_use": first.get(plugin.distribution, plugin.origin),
                "has_changed": first.get(plugin.distribution, plugin.origin) != plugin.origin,
                "entries": [_entry_data(registry, kind, name) for kind, name in plugin.entries],
            }
            for plugin in registry.plugins
            if not plugin.is_core
        ],
        "problems": [
            {"plugin": problem.plugin, "distribution": problem.distribution, "error": problem.what}
            for problem in registry.problems
        ],
        "left_out": left_out,
    }

    def text() -> str:
        rows = [
            (
                plugin.distribution,
                plugin.version,
                plugin.origin.sha256[:SHOWN_DIGITS] or "-",
                join_list(f"{registry.get_kind_title(kind)} {name}" for kind, name in plugin.entries),
            )
            for plugin in registry.plugins
            if not plugin.is_core
        ]
        rows += [(problem.distribution, _("broken"), "-", problem.what) for problem in registry.problems]
        rows += [
            (
                origin.distribution,
                origin.version,
                origin.sha256[:SHOWN_DIGITS] or "-",
                _("left out by --safe"),
            )
            for origin in left_out
        ]
        changed = [
            _("{name} has changed since its first use here: {version} ({hash}) then").format(
                name=before.distribution, version=before.version, hash=before.sha256[:SHOWN_DIGITS] or "-"
            )
            for origin in registry.list_origins()
            if (before := first.get(origin.distribution, origin)) != origin
        ]
        head = (_("distribution"), _("version"), "SHA-256", _("provides"))
        return "\n".join([format_table(head, rows), *changed])

    app.show(data, text)


def _entry_data(registry: system.EntryPointRegistry, kind: str, name: str) -> dict[str, object]:
    """Return an entry and the keys that it allows in ``[name]`` of config.toml."""
    settings = registry.settings_of(kind, name)
    keys = [{"name": x.name, "label": x.label, "secret": x.secret, "default": x.default} for x in settings]
    return {"kind": kind, "name": name, "settings": keys}

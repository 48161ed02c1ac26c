"""``plugin new``: the beginning of a plugin that installs, passes its tests and is all the author's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.commands.plugin.group import plugin_command
from gpurent.cli.context import CliContext, json_option
from gpurent.composition import plugins
from gpurent.errors import UsageError
from gpurent.locale import _, ngettext

if TYPE_CHECKING:
    from gpurent.composition.plugins import PluginNames
    from gpurent.composition.system import EntryPointRegistry

# The kinds of entries that a template registers under the plugin's name.
_ENTRY_KINDS = {
    "provider": ("lease", "auth", "billing", "simulator"),
    "rates": ("rate", "simulator"),
    "wallet": ("billing", "auth", "simulator"),
}


@plugin_command.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(plugins.list_kinds()),
    required=True,
    help=_("What it adds: a provider with its simulator, a session backend, …"),
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=Path(),
    help=_("Folder in which its own folder is made (default: this one)."),
)
@json_option
@click.pass_obj
def plugin_new_command(app: CliContext, name: str, kind: str, into: Path) -> None:
    """Begin a plugin called NAME: a folder with a package that works, its tests, and a README.

    Nothing is overwritten. Install the folder with pip, then look at it with `gpurent plugin check NAME`.
    """
    names = plugins.PluginNames.parse(name)
    _check_is_free(app.registry, kind, names)
    folder = (into / names.distribution).absolute()
    content = plugins.render_plugin(kind, names)
    plugins.write_plugin(folder, content)
    commands = [
        f"cd {shlex.quote(str(folder))}",
        "python -m pip install -e '.[test]'",
        "python -m pytest",
        f"gpurent plugin check {name}",
    ]
    lines = [
        ngettext("{count} file in {folder}", "{count} files in {folder}", len(content)).format(
            count=len(content), folder=folder
        ),
        _("README.md says what to change first. Try it as it is:"),
        *(f"  {command}" for command in commands),
    ]
    data = {
        "name": name,
        "kind": kind,
        "distribution": names.distribution,
        "package": names.package,
        "folder": str(folder),
        "files": sorted(content),
        "commands": commands,
    }
    app.show(data, "\n".join(lines))


def _check_is_free(registry: EntryPointRegistry, kind: str, names: PluginNames) -> None:
    """Raise `UsageError` if a known or installed plugin has the name of the distribution or of an entry."""
    hint = _("Choose another name. The names in use: gpurent plugin list")
    if names.distribution in plugins.list_known_distributions(registry):
        raise UsageError(_("there is already a plugin {name}").format(name=names.distribution), hint=hint)
    for word in _ENTRY_KINDS.get(kind, (kind,)):
        if names.name in registry.list_names(word):
            raise UsageError(
                _("{kind} {name} already exists").format(kind=registry.get_kind_title(word), name=names.name),
                hint=hint,
            )

"""``version`` and ``help``."""

from __future__ import annotations

import click

from gpurent import __version__
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_text
from gpurent.cli.views.table import format_table
from gpurent.locale import _


@click.command("version")
@click.option(
    "--all", "every", is_flag=True, help=_("Also show Python, the system, the folder and the plugins.")
)
@json_option
@click.pass_obj
def version_command(app: CliContext, every: bool) -> None:
    """Show the version of gpurent."""
    if not every and not app.as_json:
        write_text(f"gpurent, version {__version__}")
        return
    from gpurent.cli.views.installation import describe_installation

    data = describe_installation(app.registry)

    def text() -> str:
        rows = [
            ("gpurent", __version__),
            ("Python", data["python"]),
            (_("system"), data["system"]),
            (_("folder"), data["folder"]),
            *((plugin["distribution"], plugin["version"]) for plugin in data["plugins"]),
        ]
        return format_table((_("item"), _("value")), rows)

    app.show(data, text)


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of COMMAND, such as `trips show`; without one, the list of all commands."""
    shown = ctx.find_root()
    for word in words:
        if not isinstance(shown.command, click.Group):
            raise click.UsageError(
                _("{command} has no command {name}").format(command=shown.command_path, name=word), shown
            )
        _name, found, _rest = shown.command.resolve_command(shown, [word])
        if found is None:
            raise click.UsageError(_("No such command: {name}.").format(name=word), shown)
        shown = found.context_class(found, info_name=word, parent=shown)
    write_text(shown.get_help())

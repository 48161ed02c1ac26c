"""``completion plugins notify``: the tool itself. Starts at once, imports no plugin's heavy module."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.views.table import format_table
from gpurent.composition import system
from gpurent.errors import UnavailableError, UsageError
from gpurent.locale import _


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; for bash put `eval "$(gpurent completion bash)"` into ~/.bashrc."""
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(_("no completion for {shell}").format(shell=shell))
    click.echo(made(ctx.find_root().command, {}, "gpurent", "_GPURENT_COMPLETE").source())


@click.command("plugins")
@json_option
@click.pass_obj
def plugins_command(app: CliContext) -> None:
    """List the plugins, what they bring, and what is wrong with them."""
    registry = app.registry
    data = {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "entries": [_entry_data(registry, kind, name) for kind, name in plugin.entries],
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
        return format_table(head, [*rows, *broken])

    app.show(data, text)


def _entry_data(registry: system.EntryPointRegistry, kind: str, name: str) -> dict[str, object]:
    """An entry and the keys that ``[name]`` of config.toml may have for it."""
    settings = registry.settings_of(kind, name)
    keys = [{"name": x.name, "label": x.label, "secret": x.secret, "default": x.default} for x in settings]
    return {"kind": kind, "name": name, "settings": keys}


@click.group("notify")
def notify_command() -> None:
    """Messages about your trips when you are away: mail, chats, web hooks."""


@notify_command.command("test")
@click.argument("name", required=False, default="")
@json_option
@click.pass_obj
def notify_test_command(app: CliContext, name: str) -> None:
    """Send a test message by the notifier NAME, or by every one that is set up, and tell how it went."""
    found = app.run(lambda application: application.notifications.send_test(name))
    rows = [
        (
            outcome.name,
            _("accepted") if outcome.ok else _("failed"),
            f"{outcome.seconds:.1f} s",
            outcome.reason,
        )
        for outcome in found
    ]
    data = [{"name": x.name, "ok": x.ok, "why": x.reason, "seconds": x.seconds} for x in found]
    note = _("Accepted means that the service took it; whether you see it, only you can tell.")
    head = (_("notifier"), _("outcome"), _("time"), _("why"))
    app.show(data, lambda: f"{format_table(head, rows)}\n{note}")
    if not all(outcome.ok for outcome in found):
        raise SystemExit(UnavailableError.exit_code)

"""The commands ``completion``, ``plugin`` and ``notify``, about gpurent itself.

They start fast: no heavy module of a plugin is imported.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_text
from gpurent.cli.views.table import format_table
from gpurent.composition import system
from gpurent.errors import UnavailableError, UsageError
from gpurent.locale import _, join_list

SHOWN_DIGITS = 12


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; for bash put `eval "$(gpurent completion bash)"` into ~/.bashrc."""
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(_("no completion available for {shell}").format(shell=shell))
    write_text(made(ctx.find_root().command, {}, "gpurent", "_GPURENT_COMPLETE").source())


@click.group("plugin")
def plugin_command() -> None:
    """Plugins: what is installed, and what it provides."""


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


@click.group("notify")
def notify_command() -> None:
    """Notifications about your trips while you are away: e-mail, chat, webhooks."""


@notify_command.command("test")
@click.argument("name", required=False, default="")
@json_option
@click.pass_obj
def notify_test_command(app: CliContext, name: str) -> None:
    """Send a test notification and report the outcome.

    Uses the notifier NAME, or every configured one.
    """
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
    data = [{"name": x.name, "ok": x.ok, "reason": x.reason, "seconds": x.seconds} for x in found]
    note = _("Accepted means that the service took the message; please check that it reached you.")
    head = (_("notifier"), _("outcome"), _("time"), _("reason"))
    app.show(data, lambda: f"{format_table(head, rows)}\n{note}")
    if not all(outcome.ok for outcome in found):
        raise SystemExit(UnavailableError.exit_code)

"""The commands ``completion`` and ``notify``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_text
from gpurent.cli.views.table import format_table
from gpurent.errors import UnavailableError, UsageError
from gpurent.locale import _


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; for bash put `eval "$(gpurent completion bash)"` into ~/.bashrc."""
    if shell == "powershell":
        import gpurent.cli.powershell_completion  # noqa: F401 - registers itself

    made = get_completion_class(shell)
    if made is None:
        raise UsageError(_("no completion available for {shell}").format(shell=shell))
    write_text(made(ctx.find_root().command, {}, "gpurent", "_GPURENT_COMPLETE").source())


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

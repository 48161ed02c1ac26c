"""``gpurent notify``: whether messages reach a user who is away."""

from __future__ import annotations

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.views.table import table
from gpurent.errors import UnavailableError
from gpurent.locale import _


@click.group("notify")
def notify_command() -> None:
    """Messages about your trips when you are away: mail, chats, web hooks."""


@notify_command.command("test")
@click.argument("name", required=False, default="")
@json_option
@click.pass_obj
def test(app: App, name: str) -> None:
    """Send a test message by the notifier NAME, or by every one that is set up, and tell how it went."""
    found = app.run(lambda service: service.desk.notifiers.test(name))
    rows = [
        (
            outcome.name,
            _("accepted") if outcome.good else _("failed"),
            f"{outcome.seconds:.1f} s",
            outcome.why,
        )
        for outcome in found
    ]
    data = [{"name": x.name, "ok": x.good, "why": x.why, "seconds": x.seconds} for x in found]
    note = _("Accepted means that the service took it; whether you see it, only you can tell.")
    head = (_("notifier"), _("outcome"), _("time"), _("why"))
    app.show(data, lambda: f"{table(head, rows)}\n{note}")
    if not all(outcome.good for outcome in found):
        raise SystemExit(UnavailableError.exit_code)

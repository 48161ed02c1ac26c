"""``gpurent sandbox mail``: what the sandbox's mailbox says about the senders of mails."""

from __future__ import annotations

from pathlib import Path

import click

from gpurent.cli.commands.sandbox.group import get_sandbox, root_option, sandbox_command
from gpurent.cli.context import CliContext, json_option
from gpurent.locale import _


@sandbox_command.command("mail")
@root_option
@click.option(
    "--check",
    type=click.Choice(["pass", "fail", "none"]),
    help=_("What the mailbox writes about the sender of each later e-mail; none: nothing."),
)
@json_option
@click.pass_obj
def mail_command(app: CliContext, root: Path | None, check: str | None) -> None:
    """Show or set what the mailbox finds out about the senders of e-mails.

    An e-mail service checks who sent an e-mail, and writes the result into its Authentication-Results. gpurent
    connects to a machine without asking only if this check passed.
    """
    sandbox = get_sandbox(root)
    if check is not None:
        sandbox.set_mail_check(check)
    state = sandbox.status()
    app.show(
        {"check": state["mail_check"]},
        lambda: _("Result of the check of each e-mail's sender: {check}").format(check=state["mail_check"]),
    )

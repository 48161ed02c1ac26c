"""``gpurent sandbox clock``: how wrong the clock of the user's computer is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from gpurent.cli.commands.sandbox.group import get_sandbox, root_option, sandbox_command
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.params import ParsedParam
from gpurent.errors import UsageError
from gpurent.locale import N_, _
from gpurent.locale.durations import format_duration, parse_duration


def parse_clock_error(text: str) -> timedelta:
    """Parse ``+4m`` or ``-90s``; raises `ValueError` for anything else."""
    if text[:1] not in ("+", "-"):
        raise ValueError(f"no sign: {text!r}")
    span = parse_duration(text[1:])
    return -span if text[0] == "-" else span


CLOCK_ERROR = ParsedParam(
    "span", parse_clock_error, N_("{text} is not a difference of clocks; use e.g. +4m or -90s")
)


@sandbox_command.command("clock")
@root_option
@click.option(
    "--client",
    type=CLOCK_ERROR,
    metavar="+SPAN|-SPAN",
    help=_("Set the client's clock so far ahead of the providers' time, or behind it."),
)
@click.option("--reset", is_flag=True, help=_("Set the client's clock to the providers' time."))
@json_option
@click.pass_obj
def clock_command(app: CliContext, root: Path | None, client: timedelta | None, reset: bool) -> None:
    """Show or set the clock of the user's computer.

    Every gpurent that uses this sandbox takes this clock for its own, at once; the providers keep their time. The
    span is in the sandbox's time.
    """
    if client is not None and reset:
        raise UsageError(_("use either --client or --reset"))
    sandbox = get_sandbox(root)
    if client is not None or reset:
        sandbox.set_client_clock_error((client or timedelta()) // timedelta(seconds=1))
    state = sandbox.status()
    data = {name: state[name] for name in ("now", "client_clock_error")}
    app.show(data, lambda: f"{state['now']}\n{format_clock_error(state)}")


def format_clock_error(state: dict[str, Any]) -> str:
    """Return how the client's clock differs, from the sandbox's status."""
    span = timedelta(seconds=state["client_clock_error"])
    if not span:
        return _("The client's clock shows the same time.")
    text = (
        _("The client's clock is {span} ahead.")
        if span > timedelta()
        else _("The client's clock is {span} behind.")
    )
    return text.format(span=format_duration(abs(span)))

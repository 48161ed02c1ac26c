"""``report``: what to send to whoever helps, shown before it is written."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import prompt_yes, write_page, write_text
from gpurent.errors import ConfirmationRequired, Declined, UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error


@click.command("report")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=_("File to write (default: one with the date in its name, in this folder)."),
)
@click.option("--force", is_flag=True, help=_("Overwrite an existing file."))
@json_option
@click.pass_obj
def report_command(app: CliContext, output: Path | None, force: bool) -> None:
    """Write a report about this installation for whoever helps you: versions, settings, state, crash reports.

    It is shown first. There are no secrets in it, and no addresses, names of yours, commands and file names: what may
    be one of those is replaced. Nothing is sent anywhere.
    """
    from gpurent.composition.support_report import make_support_report

    text = make_support_report(app.registry, os.environ)
    path = (output or Path(f"gpurent-report-{datetime.now().astimezone():%Y%m%d-%H%M%S}.txt")).absolute()
    if path.exists() and not force:
        raise UsageError(_("{path} already exists").format(path=path), hint=_("Overwrite it with: --force"))
    if not app.as_json:
        write_page(text.rstrip("\n"))
    _require_yes(app, path)
    _write(path, text)
    app.show({"path": path, "report": text}, _("Written: {path}").format(path=path))


def _require_yes(app: CliContext, path: Path) -> None:
    if app.yes:
        return
    if app.no_input or app.as_json or not sys.stdin.isatty():
        raise ConfirmationRequired(_("nothing was written"))
    write_text("", err=True)
    if not prompt_yes(_("Write this to {path}?").format(path=path)):
        raise Declined(_("nothing was written"))


def _write(path: Path, text: str) -> None:
    from gpurent.composition.files import write_private_file

    try:
        write_private_file(path, text.encode())
    except OSError as error:
        raise UsageError(
            _("{path} cannot be written: {why}").format(path=path, why=describe_error(error))
        ) from None

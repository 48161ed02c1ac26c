"""``push pull ssh exec start sessions attach logs stop``."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.arguments import LEASE
from gpurent.cli.params import MOMENT, RATE, SPAN
from gpurent.cli.trip_spec import field_options
from gpurent.cli.views.table import table
from gpurent.domain.session import JobStatus
from gpurent.domain.time_left import Timer
from gpurent.domain.transfer import Pull, Push, TransferReport
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.composition.application import Application

_SESSION = field_options(("session",), default="")
_TRANSFER = field_options(("transfer",), default="")
_LIMIT = click.option(
    "--limit", type=RATE, default=0, help=_("At most so much a second over the line: 2MB/s.")
)
_VERIFY = click.option(
    "--verify",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help=_("full: read back what lies there, and believe no size and time."),
)
_REST = {"ignore_unknown_options": True}


def _report(app: App, report: TransferReport) -> None:
    skipped = [f"{item.name}: {item.why}" for item in report.skipped]
    line = _(
        "{files} files, {total} bytes there and verified; {sent} bytes sent, {resumed} were there before"
    ).format(
        files=report.files,
        total=report.total,
        sent=report.sent,
        resumed=report.resumed,
    )
    gone = [_("Deleted there: {name}").format(name=name) for name in report.deleted]
    notes = [_("Left out: {what}").format(what=text) for text in skipped]
    app.show(report, "\n".join([line, *notes, *gone]))


@click.command("push")
@LEASE
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--to", "target", default=".", help=_("The folder on the machine, below its home."))
@_TRANSFER
@_LIMIT
@_VERIFY
@click.option("--no-ignore", is_flag=True, help=_("Take what .gitignore and .gpurentignore leave out."))
@click.option(
    "--delete", is_flag=True, help=_("Then take away there what is not here any more and not ignored.")
)
@click.option("--dry-run", is_flag=True, help=_("With --delete: only list what it would take away."))
@click.option("--watch", "watched", is_flag=True, help=_("Go on, and send every change, until Ctrl-C."))
@json_option
@click.pass_obj
def push_command(
    app: App,
    lease: str,
    sources: tuple[Path, ...],
    target: str,
    transfer: str,
    limit: int,
    verify: str,
    no_ignore: bool,
    delete: bool,
    dry_run: bool,
    watched: bool,
) -> None:
    """Carry SOURCES to a machine; called again it goes on where it stopped."""
    if dry_run and not delete:
        raise UsageError(_("--dry-run goes with --delete"))
    if watched and (dry_run or app.as_json):
        raise UsageError(_("--watch goes with neither --dry-run nor --json"))
    push = Push(
        sources=sources,
        target=target,
        ignore=not no_ignore,
        limit=limit,
        verify=verify,
        delete=delete,
        dry_run=dry_run,
    )
    if watched:
        _push_changes(app, lease, push, transfer)
        return
    report = app.run(lambda application: application.file_commands.push(lease, push, transfer))
    if dry_run:
        names = [_("Would be deleted there: {name}").format(name=name) for name in report.deleted]
        app.show(report, "\n".join(names) or _("Nothing would be deleted there."))
        return
    _report(app, report)


def _push_changes(app: App, lease: str, push: Push, transfer: str) -> None:
    """Ctrl-C is how it ends: no error."""
    try:
        app.run(
            lambda application: application.file_commands.watch_push(
                lease, push, lambda report: _report(app, report), transfer
            )
        )
    except KeyboardInterrupt:
        click.echo(_("No longer kept in step; what was sent stays there."), err=True)


@click.command("pull")
@LEASE
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help=_("The folder here."),
)
@_TRANSFER
@_LIMIT
@_VERIFY
@json_option
@click.pass_obj
def pull_command(
    app: App, lease: str, sources: tuple[str, ...], target: Path, transfer: str, limit: int, verify: str
) -> None:
    """Bring SOURCES (below the machine's home, or absolute) here."""
    pull = Pull(sources=sources, target=target, limit=limit, verify=verify)
    _report(app, app.run(lambda application: application.file_commands.pull(lease, pull, transfer)))


@click.command("ssh")
@LEASE
@click.pass_obj
def ssh_command(app: App, lease: str) -> None:
    """Open a shell on a machine."""
    raise SystemExit(app.run(lambda application: application.machine_commands.shell(lease, None)))


@click.command("exec", context_settings=_REST)
@LEASE
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_command(app: App, lease: str, command: tuple[str, ...]) -> None:
    """Run one COMMAND on a machine; its exit code is gpurent's."""
    line = command[0] if len(command) == 1 else shlex.join(command)
    raise SystemExit(app.run(lambda application: application.machine_commands.shell(lease, line)))


@click.command("start", context_settings=_REST)
@LEASE
@click.option("--name", default="job", show_default=True, help=_("The session's name."))
@click.option("--in", "folder", default=".", help=_("The folder on the machine, below its home."))
@field_options(("launcher",), default="")
@click.option("--for", "term", type=SPAN, help=_("Let the machine shut itself so long from now."))
@click.option("--until", type=MOMENT, help=_("Let the machine shut itself then: 18:30."))
@_SESSION
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def start_command(
    app: App,
    lease: str,
    name: str,
    folder: str,
    launcher: str,
    term: timedelta | None,
    until: datetime | None,
    session: str,
    command: tuple[str, ...],
) -> None:
    """Start COMMAND as a job that outlives the line. The same name never runs twice."""
    if term is not None and until is not None:
        raise UsageError(_("one of --for and --until at a time"))

    async def go(application: Application) -> tuple[JobStatus, Timer | None]:
        machine = application.machine_commands
        status = await machine.start(lease, name, command, folder, launcher, session)
        if term is None and until is None:
            return status, None
        end = until or application.clock.now() + (term or timedelta())
        return status, await application.timer_commands.arm(lease, end)

    status, timer = app.run(go)

    def text() -> str:
        from gpurent.workflow.timing.timers import timer_text

        return "\n".join([f"{name}: {_(status.state.value)}", *([timer_text(timer)] if timer else [])])

    app.show({"name": name, "status": status, "timer": timer}, text)


@click.command("sessions")
@LEASE
@_SESSION
@json_option
@click.pass_obj
def sessions_command(app: App, lease: str, session: str) -> None:
    """List the sessions on a machine."""
    found = app.run(lambda application: application.machine_commands.sessions(lease, session))
    rows = [
        (info.id, info.name, _("attached") if info.attached else _("detached"), info.since) for info in found
    ]
    head = (_("id"), _("name"), _("state"), _("since"))
    app.show(found, table(head, rows) if rows else _("No session runs there."))


@click.command("attach")
@LEASE
@click.argument("name", default="")
@_SESSION
@click.pass_obj
def attach_command(app: App, lease: str, name: str, session: str) -> None:
    """Get into the session NAME (default: the only one), taking it over from a line that was lost."""
    raise SystemExit(app.run(lambda application: application.machine_commands.attach(lease, name, session)))


@click.command("logs")
@LEASE
@click.argument("name", default="")
@click.option(
    "--follow", "-f", is_flag=True, help=_("Go on until the job ends; then leave with its exit code.")
)
@click.option("--status", "only_status", is_flag=True, help=_("Only leave with the job's exit code."))
@_SESSION
@json_option
@click.pass_obj
def logs_command(app: App, lease: str, name: str, follow: bool, only_status: bool, session: str) -> None:
    """Show what the job NAME (default: the trip's) has printed."""
    status = app.run(
        lambda application: application.machine_commands.logs(
            lease, name, follow, session, silent=only_status or app.as_json
        )
    )
    if app.as_json:
        app.show({"status": status}, "")
    sys.stdout.flush()
    if (follow or only_status) and status.exit_code:
        raise SystemExit(status.exit_code)


@click.command("stop")
@LEASE
@click.argument("name")
@_SESSION
@click.pass_obj
def stop_command(app: App, lease: str, name: str, session: str) -> None:
    """End the job NAME and its session. The machine goes on, and goes on costing."""
    status = app.run(lambda application: application.machine_commands.stop(lease, name, session))
    app.show({"name": name, "status": status}, f"{name}: {_(status.state.value)}")

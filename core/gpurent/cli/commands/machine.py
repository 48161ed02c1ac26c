"""``push pull ssh exec start sessions attach logs stop``."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from gpurent.cli.arguments import complete_leases_and_trips, lease_argument
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.job_command import JobCommand
from gpurent.cli.output import flush_output, write_page
from gpurent.cli.params import DURATION, RATE, TIME, NumberParam
from gpurent.cli.trip_spec import add_field_options, collect_field_values
from gpurent.cli.until_stopped import run_until_stopped
from gpurent.cli.views.results import format_skipped
from gpurent.cli.views.table import format_table
from gpurent.domain.filenames import escape_path
from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.time_left import MachineTimer
from gpurent.domain.transfer import PullRequest, PushRequest, TransferReport
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import JobError, UsageError
from gpurent.locale import _, join_list, ngettext
from gpurent.locale.sizes import format_size

if TYPE_CHECKING:
    from gpurent.composition.application import Application

_session_option = add_field_options(("session",), default="")
_transfer_option = add_field_options(("transfer",), default="")
_limit_option = click.option("--limit", type=RATE, default=0, help=_("Bandwidth limit, e.g. 2MB/s."))
_verify_option = click.option(
    "--verify",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help=_("full: re-read existing files at the target and verify hashes, ignoring size and mtime."),
)


def _show_report(app: CliContext, report: TransferReport) -> None:
    line = ngettext(
        "{files} file, {total} verified; {sent} transferred, {resumed} already present",
        "{files} files, {total} verified; {sent} transferred, {resumed} already present",
        report.files,
    ).format(
        files=report.files,
        total=format_size(report.total),
        sent=format_size(report.sent),
        resumed=format_size(report.resumed),
    )
    gone = [_("Deleted on the machine: {name}").format(name=escape_path(name)) for name in report.deleted]
    notes = [format_skipped(item, report.archive) for item in report.skipped]
    app.show(report, "\n".join([line, *notes, *gone]))


@click.command("push")
@lease_argument
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--to", "target", default=".", help=_("Folder on the machine: below its home folder, or absolute.")
)
@_transfer_option
@_limit_option
@_verify_option
@click.option(
    "--no-ignore", is_flag=True, help=_("Also upload files that .gitignore and .gpurentignore exclude.")
)
@click.option(
    "--delete",
    is_flag=True,
    help=_("Delete remote files that do not exist locally (ignored files are kept)."),
)
@click.option("--dry-run", is_flag=True, help=_("With --delete: only list what would be deleted."))
@click.option(
    "--watch", "watched", is_flag=True, help=_("Keep running and upload every change, until Ctrl-C.")
)
@json_option
@click.pass_obj
def push_command(
    app: CliContext,
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
    """Upload SOURCES to a machine; run again to resume."""
    if dry_run and not delete:
        raise UsageError(_("--dry-run requires --delete"))
    if watched and (dry_run or app.as_json):
        raise UsageError(_("--watch cannot be used with --dry-run or --json"))
    push = PushRequest(
        sources=sources,
        target=target,
        use_ignore_files=not no_ignore,
        bandwidth_limit=limit,
        verify=verify,
        delete=delete,
        dry_run=dry_run,
    )
    if watched:
        _push_changes(app, lease, push, transfer)
        return
    report = app.run(lambda application: _push_once(application, lease, push, transfer))
    if dry_run:
        text = _("Would be deleted on the machine: {name}")
        names = [text.format(name=escape_path(name)) for name in report.deleted]
        app.show(report, "\n".join(names) or _("Nothing would be deleted on the machine."))
        return
    _show_report(app, report)


async def _push_once(
    application: Application, lease: str, push: PushRequest, transfer: str
) -> TransferReport:
    """Push; to a user at the terminal, first show what would be uploaded."""
    if application.terminal.is_interactive and not push.dry_run:
        from gpurent.workflow.connection.upload_previews import format_upload

        checked = application.file_commands.check_push(push)
        found = await application.upload_previewer.preview_pushes([checked], transfer)
        names = join_list(str(source) for source in push.sources)
        write_page(format_upload(found, names) if found else [], err=True)
    return await application.file_commands.push(lease, push, transfer)


def _push_changes(app: CliContext, lease: str, push: PushRequest, transfer: str) -> None:
    """Upload changes until Ctrl-C."""

    async def watch(application: Application) -> None:
        show = partial(_show_report, app)
        await application.file_commands.watch_push(lease, push, show, transfer)

    text = _("Stopped watching; files already uploaded stay on the machine.")
    run_until_stopped(app, lease, watch, text)


@click.command("pull")
@lease_argument
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    default=Path(),
    help=_("Local folder to download to."),
)
@click.option("--into-home", is_flag=True, help=_("Allow the home folder itself as the local folder."))
@_transfer_option
@_limit_option
@_verify_option
@json_option
@click.pass_obj
def pull_command(
    app: CliContext,
    lease: str,
    sources: tuple[str, ...],
    target: Path,
    into_home: bool,
    transfer: str,
    limit: int,
    verify: str,
) -> None:
    """Download SOURCES (absolute paths, or relative to the machine's home) to this computer."""
    pull = PullRequest(sources=sources, target=target, bandwidth_limit=limit, verify=verify)

    async def download(application: Application) -> TransferReport:
        return await application.file_commands.pull(lease, pull, transfer, into_home=into_home)

    _show_report(app, app.run(download))


@click.command("ssh")
@lease_argument
@click.pass_obj
def ssh_command(app: CliContext, lease: str) -> None:
    """Open a shell on a machine."""
    raise SystemExit(app.run(lambda application: application.machine_commands.open_shell(lease)))


@click.command("exec", cls=JobCommand)
@lease_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_command(app: CliContext, lease: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on a machine and exit with its exit code.

    Several words are a program and its arguments, run in the home folder; one is a line for the machine's login shell.
    """
    raise SystemExit(app.run(lambda application: application.machine_commands.open_shell(lease, command)))


@click.command("start", cls=JobCommand)
@lease_argument
@click.option("--name", default="job", show_default=True, help=_("Name of the session."))
@click.option(
    "--in", "folder", default=".", help=_("Folder on the machine: below its home folder, or absolute.")
)
@add_field_options(("launcher",), default="")
@add_field_options(("env", "env_file", "secret"))
@click.option("--for", "term", type=DURATION, help=_("Shut the machine down after this time, e.g. 2h30m."))
@click.option("--until", type=TIME, help=_("Shut the machine down at this time, e.g. 18:30."))
@_session_option
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def start_command(
    app: CliContext,
    /,
    lease: str,
    name: str,
    folder: str,
    launcher: str,
    term: timedelta | None,
    until: datetime | None,
    session: str,
    command: tuple[str, ...],
    **given: Any,
) -> None:
    """Start COMMAND as a job that keeps running if your connection drops. A name is never started twice."""
    if term is not None and until is not None:
        raise UsageError(_("--for and --until cannot be used together"))

    job = evolve(
        make_trip_spec(collect_field_values(given)).job, command=command, launcher=launcher, session=session
    )

    async def go(application: Application) -> tuple[JobStatus, MachineTimer | None]:
        status = await application.machine_commands.start_job(lease, name, job, folder)
        end = term if until is None else until
        if end is None:
            return status, None
        return status, await application.timer_commands.arm_timer(lease, end)

    status, timer = app.run(go)

    def text() -> str:
        from gpurent.workflow.timing.timers import format_timer

        return "\n".join([f"{name}: {status.state.title}", *([format_timer(timer)] if timer else [])])

    app.show({"name": name, "status": status, "timer": timer}, text)


@click.command("sessions")
@lease_argument
@_session_option
@json_option
@click.pass_obj
def sessions_command(app: CliContext, lease: str, session: str) -> None:
    """List the sessions on a machine."""
    found = app.run(lambda application: application.machine_commands.list_sessions(lease, session))
    rows = [
        (info.id, info.name, _("attached") if info.attached else _("detached"), info.since) for info in found
    ]
    head = (_("id"), _("name"), _("state"), _("since"))
    app.show(found, format_table(head, rows) if rows else _("No sessions are running on the machine."))


@click.command("attach")
@lease_argument
@click.argument("name", default="")
@_session_option
@click.pass_obj
def attach_command(app: CliContext, lease: str, name: str, session: str) -> None:
    """Attach to the session NAME (default: the only one), even if a dropped connection still holds it."""
    raise SystemExit(
        app.run(lambda application: application.machine_commands.attach_session(lease, name, session))
    )


@click.command("logs")
@click.argument("target", metavar="LEASE|TRIP", shell_complete=complete_leases_and_trips)
@click.argument("name", default="")
@click.option(
    "--lines",
    "-n",
    type=NumberParam(0, 1_000_000),
    help=_("Only the last lines of what there is now; with --follow, also all that comes."),
)
@click.option(
    "--follow", "-f", is_flag=True, help=_("Keep printing until the job ends, then exit with its exit code.")
)
@click.option(
    "--status", "only_status", is_flag=True, help=_("Print nothing; exit with the job's exit code.")
)
@click.option(
    "--raw", is_flag=True, help=_("Print the output byte for byte, with all that a terminal would obey.")
)
@_session_option
@json_option
@click.pass_obj
def logs_command(
    app: CliContext,
    target: str,
    name: str,
    lines: int | None,
    follow: bool,
    only_status: bool,
    raw: bool,
    session: str,
) -> None:
    """Show the output of a job: of a trip, or of the job NAME on a lease (default: that of its trip).

    The output of a trip's job is kept on this computer, so that it can be shown when the machine is no more. Of a
    progress bar, the last state of each line is shown.
    """
    found = app.run(
        lambda application: application.job_outputs.show_log(
            target, name, follow=follow, session=session, silent=only_status or app.as_json, lines=lines
        ),
        is_raw=raw,
    )
    if app.as_json:
        app.show({"status": found.status, "kept": found.path}, "")
    flush_output()
    asks_status = follow or only_status
    state = found.status.state if found.status is not None else None
    if state is JobState.ABSENT or (asks_status and state is JobState.LOST):
        raise SystemExit(JobError.exit_code) if app.as_json else _make_end_error(target, found.job, state)
    if asks_status and found.status is not None and found.status.exit_code:
        raise SystemExit(found.status.exit_code)


def _make_end_error(lease: str, name: str, state: JobState) -> JobError:
    if state is JobState.ABSENT:
        return JobError(
            _("no job {name} was started on {lease}").format(name=name, lease=lease),
            hint=_("See: gpurent sessions {lease}").format(lease=lease),
        )
    return JobError(
        _("job {name} disappeared without an exit code").format(name=name),
        hint=_("Was the machine shut down, or was the job killed by its system, for want of memory?"),
    )


@click.command("stop")
@lease_argument
@click.argument("name")
@_session_option
@click.pass_obj
def stop_command(app: CliContext, lease: str, name: str, session: str) -> None:
    """Stop the job NAME and its session. The machine keeps running and is still billed."""
    status = app.run(lambda application: application.machine_commands.stop_job(lease, name, session))
    app.show({"name": name, "status": status}, f"{name}: {status.state.title}")

"""``watch``: runs the guard, continuously or once; ``watch install uninstall``: starts it automatically."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.child_processes import USER_VARIABLES, make_child_environment, run_program
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import write_line, write_text
from gpurent.composition import autostart
from gpurent.composition.system import data_folder
from gpurent.errors import UnavailableError, UsageError
from gpurent.locale import N_, _, join_clauses, join_list
from gpurent.locale.foreign_text import describe_error

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from gpurent.composition.application import Application
    from gpurent.workflow.guard.controller import GuardResult
    from gpurent.workflow.guard.scheduler import GuardReport

_ACTION_TITLES = {
    "warn": N_("warned"),
    "renew": N_("renewed"),
    "ask-top-up": N_("asked for a top-up"),
    "save-results": N_("downloaded results"),
    "release": N_("released"),
    "finish-trip": N_("finished its trip"),
    "extend-timer": N_("extended its timer"),
    "remove-timer": N_("removed its timer"),
}
_FAILED_ACTION_TITLES = {
    "warn": N_("could not warn"),
    "renew": N_("renewal not confirmed"),
    "ask-top-up": N_("could not ask for a top-up"),
    "save-results": N_("could not download all results"),
    "release": N_("release not confirmed"),
    "finish-trip": N_("could not finish its trip"),
    "extend-timer": N_("could not extend its timer"),
    "remove-timer": N_("could not remove its timer"),
}


@click.group("watch", invoke_without_command=True)
@click.option("--once", is_flag=True, help=_("Check once, do what is due, and exit."))
@json_option
@click.pass_context
def watch_command(ctx: click.Context, once: bool) -> None:
    """Run the guard: renew, download results and release according to your policy, which is [guard] in config.toml.

    The guard renews a lease or asks you for a top-up, downloads results before a lease ends, and releases machines
    whose job has ended, that are idle, or that have reached their deadline or budget.
    """
    if ctx.invoked_subcommand is not None:
        return
    from gpurent.cli.terminal import QuietTerminal
    from gpurent.workflow.guard.scheduler import run_until_terminated

    app = ctx.find_object(CliContext)
    assert app is not None  # noqa: S101 - every command has one
    terminal = QuietTerminal(quiet=app.as_json)
    if once:
        report = app.run(_guard_once, terminal)
        app.show(_report_json(report), lambda: _format_results(report.results))
        if report.unguarded:
            raise SystemExit(next(iter(report.unguarded.values())).exit_code)
        if report.has_failures:
            raise SystemExit(UnavailableError.exit_code)
    else:
        app.run(lambda application: run_until_terminated(_guard_forever(application)), terminal)


async def _guard_once(application: Application) -> GuardReport:
    import asyncio

    from gpurent.workflow.guard.scheduler import GuardReport

    async with application.guard_lock.acquire(wait=False) as mine:
        if not mine:
            return GuardReport()
        report, *_beside = await asyncio.gather(
            application.guard.run_once(),
            application.orphan_watch.search_if_due(),
            application.volume_watch.check(),
        )
        return report


async def _guard_forever(application: Application) -> None:
    from gpurent.workflow.runtime.waiting import run_in_background

    search, check = application.orphan_watch.search_forever(), application.volume_watch.check_forever()
    async with (
        application.guard_lock.acquire(wait=True),
        run_in_background(search),
        run_in_background(check),
    ):
        await application.guard.run_forever()


def _report_json(report: GuardReport) -> list[dict[str, Any]]:
    """Return one row for each lease; those that could not be checked or are not guarded have only an error."""
    rows = [_lease_json(result, report.failures) for result in report.results]
    rows += [
        {"lease": name, "guarded": True, "actions": [], "failed_actions": [], "error": text}
        for name, text in report.unfinished.items()
    ]
    return rows + [
        {
            "lease": name,
            "guarded": False,
            "actions": [],
            "failed_actions": [],
            "error": error.message,
            "hint": error.hint,
        }
        for name, error in report.unguarded.items()
    ]


def _lease_json(result: GuardResult, failures: Mapping[str, str]) -> dict[str, Any]:
    facts = result.facts
    return {
        "lease": facts.lease.id,
        "guarded": True,
        "state": facts.lease.state.value,
        "until": facts.time_left.until,
        "job": facts.machine.job.state.value if facts.machine and facts.machine.job else "",
        "cpu_load": facts.machine.cpu if facts.machine else None,
        "gpu_load": facts.machine.gpu if facts.machine else None,
        "idle_since": facts.idle_since,
        "spent": facts.spent,
        "own_count": facts.is_own_count,
        "budget": facts.budget,
        "actions": result.actions,
        "failed_actions": result.failed_actions,
        "error": join_clauses(filter(None, (failures.get(facts.lease.provider, ""), result.failure))),
    }


def _format_results(results: Sequence[GuardResult]) -> str:
    from gpurent.cli.views.table import format_table
    from gpurent.workflow.timing.time_left import format_time_left

    rows = [
        (
            result.facts.lease.id,
            format_time_left(result.facts.time_left),
            join_list(_describe_actions(result)) or "-",
        )
        for result in results
    ]
    return format_table((_("lease"), _("time left"), _("what the guard did")), rows) if rows else ""


def _describe_actions(result: GuardResult) -> list[str]:
    done = [_(_ACTION_TITLES[name]) for name in result.actions]
    return done + [_(_FAILED_ACTION_TITLES[name]) for name in result.failed_actions]


_kind_option = click.option(
    "--as",
    "kind",
    type=click.Choice(("systemd", "timer", "launchd", "cron", "task")),
    help=_("What starts the guard (default: what this system has)."),
)


_SYSTEM: str = sys.platform
_SYSTEMS = {"systemd": "linux", "timer": "linux", "launchd": "darwin", "task": "win32"}
_SYSTEM_TITLES = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}


def _resolve_kind(kind: str | None) -> str:
    if kind:
        return kind
    if _SYSTEM in ("darwin", "win32"):
        return "launchd" if _SYSTEM == "darwin" else "task"
    return "systemd" if Path("/run/systemd/system").is_dir() else "cron"


def _check_kind(kind: str) -> None:
    """Raise `UsageError` for what this system does not have: nobody would start the guard then."""
    needed = _SYSTEMS.get(kind, _SYSTEM)
    if needed == _SYSTEM and not (kind == "cron" and _SYSTEM == "win32"):
        return
    usual = _resolve_kind(None)
    raise UsageError(
        _("{kind} does not start anything on {system}; the guard would not run").format(
            kind=kind, system=_SYSTEM_TITLES.get(_SYSTEM, _SYSTEM)
        ),
        hint=f"gpurent watch install --as {usual}",
    )


@watch_command.command("install")
@_kind_option
@click.option(
    "--print", "only_print", is_flag=True, help=_("Show what would be written, without writing it.")
)
def install_command(kind: str | None, only_print: bool) -> None:
    """Have the operating system start the guard automatically."""
    from gpurent.composition.own_commands import make_own_command

    chosen, home = _resolve_kind(kind), data_folder().absolute()
    start = autostart.AutostartProgram(
        program=tuple(make_own_command("--no-input", "watch")),
        environment=autostart.select_environment({**os.environ, "GPURENT_HOME": str(home)}),
        log=home / "watch.log",
    )
    if not only_print:
        _check_kind(chosen)
    if chosen == "task":
        from gpurent.cli import task_scheduler

        text = task_scheduler.make_task(start, home)
        if only_print:
            write_text(text, nl=False)
            return
        write_line(_("Written: {path}").format(path=task_scheduler.register_task(text, home)))
    elif chosen == "cron":
        line = autostart.make_cron_line(start)
        if only_print:
            write_text(line, nl=False)
            return
        _set_cron_line(line)
    else:
        make = {
            "systemd": autostart.make_systemd_service,
            "timer": autostart.make_systemd_timer,
            "launchd": autostart.make_launchd_agent,
        }
        folder = autostart.unit_folder(chosen, Path.home(), os.environ)
        for name, text in make[chosen](start).items():
            if only_print:
                write_text(f"# {folder / name}\n{text}", nl=False)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, "utf-8")
                write_line(_("Written: {path}").format(path=folder / name))
    if not only_print:
        write_text(_format_next_steps(chosen))


def _format_next_steps(kind: str) -> str:
    unit = "gpurent-watch.timer" if kind == "timer" else "gpurent-watch.service"
    hints = {
        "launchd": "launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/gpurent.watch.plist",
        "cron": _("The guard now runs every five minutes."),
        "task": _("The guard now runs every five minutes, while you are logged on."),
    }
    systemd = "\n".join(
        (
            f"systemctl --user daemon-reload && systemctl --user enable --now {unit}",
            _("To keep it running after you log out: loginctl enable-linger"),
        )
    )
    text = hints.get(kind, systemd)
    if os.environ.get("GPURENT_PASSPHRASE") and kind == "task":
        text += "\n" + _(
            "Your passphrase was not written, and without it the guard cannot read the vault. Run it yourself:"
            " gpurent watch"
        )
    elif os.environ.get("GPURENT_PASSPHRASE"):
        text += "\n" + _(
            "Your passphrase was not written. Pass it to the guard as GPURENT_PASSPHRASE, for example"
            " with: systemctl --user edit gpurent-watch.service"
        )
    return text


@watch_command.command("uninstall")
@_kind_option
def uninstall_command(kind: str | None) -> None:
    """Undo install. A running guard keeps running until it is stopped."""
    chosen = _resolve_kind(kind)
    if chosen == "task":
        from gpurent.cli import task_scheduler

        removed = task_scheduler.delete_task(data_folder().absolute())
        write_line(_("Removed from Task Scheduler.") if removed else _("Nothing to uninstall."))
        return
    if chosen == "cron":
        _set_cron_line("")
        write_line(_("Removed from the crontab."))
        return
    folder = autostart.unit_folder(chosen, Path.home(), os.environ)
    names = (
        f"{autostart.SYSTEMD_UNIT}.service",
        f"{autostart.SYSTEMD_UNIT}.timer",
        f"{autostart.LAUNCHD_LABEL}.plist",
    )
    found = [folder / name for name in names if (folder / name).exists()]
    for path in found:
        path.unlink()
        write_line(_("Removed: {path}").format(path=path))
    if not found:
        write_line(_("Nothing to uninstall."))
    elif chosen != "launchd":
        write_line("systemctl --user daemon-reload && systemctl --user stop gpurent-watch.service")


def _set_cron_line(line: str) -> None:
    """Put our line into the user's crontab; remove it if ``line`` is empty."""
    found = _run_crontab("-l")
    ran = _run_crontab("-", autostart.replace_cron_line(found.stdout if found.returncode == 0 else "", line))
    if ran.returncode:
        raise UnavailableError(_("crontab rejected the change: {why}").format(why=ran.stderr.strip()[:200]))


def _run_crontab(argument: str, given: str = "") -> CompletedProcess[str]:
    try:
        return run_program(
            ["crontab", argument],
            environment=make_child_environment(USER_VARIABLES),
            input_text=given,
            timeout=30,
        )
    except (OSError, TimeoutError) as error:
        raise UnavailableError(
            _("cannot run crontab: {why}").format(why=describe_error(error)),
            hint="gpurent watch install --as systemd",
        ) from None

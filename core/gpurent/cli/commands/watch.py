"""``watch``: the guard in the foreground, once, or started by the system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App, json_option
from gpurent.errors import UnavailableError
from gpurent.locale import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpurent.infra.platform.posix.autostart import Start
    from gpurent.workflow.guard.controller import Looked
    from gpurent.workflow.trips.operations import Service

KINDS = ("systemd", "timer", "launchd", "cron")
_KIND = click.option(
    "--as", "kind", type=click.Choice(KINDS), help=_("What starts it; default: what is here.")
)


@click.group("watch", invoke_without_command=True)
@click.option("--once", is_flag=True, help=_("Look once, do what is due, and end."))
@json_option
@click.pass_context
def watch_command(ctx: click.Context, once: bool) -> None:
    """Look after all leases, as far as [guard] in config.toml allows.

    Renews or asks for a top-up, saves results before a machine must end, gives back what is done, idle, or at its
    limit.
    """
    if ctx.invoked_subcommand is not None:
        return
    app = ctx.find_object(App)
    assert app is not None  # noqa: S101 - every command has one
    if once:
        looked = _once(app)
        app.show([_row(item) for item in looked], lambda: "\n".join(_line(item) for item in looked))
    else:
        _for_ever(app)


def _once(app: App) -> Sequence[Looked]:
    from gpurent.cli.quiet import QuietUi
    from gpurent.workflow.guard.guard_lock import alone
    from gpurent.workflow.guard.scheduler import Guard

    async def look(service: Service) -> Sequence[Looked]:
        async with alone(service.desk, wait=False) as mine:
            return await Guard.of(service).once() if mine else ()

    return app.run(look, QuietUi(quiet=app.as_json))


def _for_ever(app: App) -> None:
    from gpurent.cli.quiet import QuietUi
    from gpurent.workflow.guard.guard_lock import alone
    from gpurent.workflow.guard.scheduler import Guard, until_told

    async def go(service: Service) -> None:
        async with alone(service.desk, wait=True):
            await Guard.of(service).forever()

    app.run(lambda service: until_told(go(service)), QuietUi(quiet=app.as_json))


def _row(item: Looked) -> dict[str, Any]:
    facts = item.facts
    return {
        "lease": facts.lease.id,
        "state": facts.lease.state.value,
        "until": facts.time.until,
        "job": facts.machine.job.state.value if facts.machine and facts.machine.job else "",
        "cpu": facts.machine.cpu if facts.machine else None,
        "gpu": facts.machine.gpu if facts.machine else None,
        "idle_since": facts.idle_since,
        "spent": facts.spent,
        "budget": facts.budget,
        "actions": [type(action).__name__.lower() for action in item.actions],
        "trouble": item.trouble,
    }


def _line(item: Looked) -> str:
    from gpurent.workflow.timing.time_text import words

    done = ", ".join(type(action).__name__.lower() for action in item.actions) or "-"
    return f"{item.facts.lease.id}  {words(item.facts.time)}  {done}"


def _start() -> Start:
    from platformdirs import user_data_path

    from gpurent.infra.platform.posix.autostart import Start, kept

    home = os.environ.get("GPURENT_HOME", "") or str(user_data_path("gpurent"))
    return Start(
        program=(sys.executable, "-m", "gpurent.cli.main", "--no-input", "watch"),
        environment=kept({**os.environ, "GPURENT_HOME": home}),
        log=Path(home) / "watch.log",
    )


def _here(kind: str | None) -> str:
    if kind:
        return kind
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if Path("/run/systemd/system").is_dir() else "cron"


@watch_command.command("install")
@_KIND
@click.option("--print", "only_print", is_flag=True, help=_("Show what would be written, and write nothing."))
def install_command(kind: str | None, only_print: bool) -> None:
    """Have the system start the guard for you."""
    from gpurent.infra.platform.posix import autostart

    chosen, start = _here(kind), _start()
    if chosen == "cron":
        line = autostart.cron(start)
        if only_print:
            click.echo(line, nl=False)
            return
        _crontab(autostart.with_line(_table(), line))
    else:
        make = {"systemd": autostart.systemd, "timer": autostart.systemd_timer, "launchd": autostart.launchd}
        folder = autostart.folder(chosen, Path.home(), os.environ)
        for name, text in make[chosen](start).items():
            if only_print:
                click.echo(f"# {folder / name}\n{text}", nl=False)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, "utf-8")
                click.echo(_("written: {path}").format(path=folder / name))
    if not only_print:
        click.echo(_next(chosen))


def _next(kind: str) -> str:
    """What is left for the user to do."""
    unit = "gpurent-watch.timer" if kind == "timer" else "gpurent-watch.service"
    hints = {
        "launchd": "launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/gpurent.watch.plist",
        "cron": _("The guard looks every five minutes from now on."),
    }
    systemd = "\n".join(
        (
            f"systemctl --user daemon-reload && systemctl --user enable --now {unit}",
            _("So that it goes on when you log out: loginctl enable-linger"),
        )
    )
    text = hints.get(kind, systemd)
    if os.environ.get("GPURENT_PASSPHRASE"):
        text += "\n" + _(
            "Your passphrase was not written. Give it to the guard as GPURENT_PASSPHRASE, "
            "for example by systemctl --user edit gpurent-watch.service"
        )
    return text


@watch_command.command("uninstall")
@_KIND
def uninstall_command(kind: str | None) -> None:
    """Undo install; a guard that runs now goes on until it is stopped."""
    from gpurent.infra.platform.posix import autostart

    chosen = _here(kind)
    if chosen == "cron":
        _crontab(autostart.with_line(_table(), ""))
        click.echo(_("removed from the crontab"))
        return
    folder = autostart.folder(chosen, Path.home(), os.environ)
    names = (f"{autostart.UNIT}.service", f"{autostart.UNIT}.timer", f"{autostart.LABEL}.plist")
    found = [folder / name for name in names if (folder / name).exists()]
    for path in found:
        path.unlink()
        click.echo(_("removed: {path}").format(path=path))
    if not found:
        click.echo(_("Nothing was installed."))
    elif chosen != "launchd":
        click.echo("systemctl --user daemon-reload && systemctl --user stop gpurent-watch.service")


def _table() -> str:
    ran = _cron("-l")
    return ran.stdout if ran.returncode == 0 else ""


def _crontab(table: str) -> None:
    ran = _cron("-", table)
    if ran.returncode:
        raise UnavailableError(_("crontab refuses: {why}").format(why=ran.stderr.strip()[:200]))


def _cron(argument: str, given: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["crontab", argument], input=given, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(
            _("crontab cannot be used: {why}").format(why=error), hint="gpurent watch install --as systemd"
        ) from None

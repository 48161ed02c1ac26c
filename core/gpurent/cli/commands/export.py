"""``export open``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.roles.exporter import Export
    from gpurent.workflow.connection.exports import Written
    from gpurent.workflow.trips.operations import Service


def _exporters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from gpurent.cli.builtin import registry

    return [name for name in sorted(registry().exporter) if name.startswith(incomplete)]


@click.command("export")
@click.argument("program", shell_complete=_exporters)
@click.argument("leases", nargs=-1, shell_complete=lease_ids)
@click.option("--all", "every", is_flag=True, help=_("All leases that run."))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help=_("Where to write it (mode 0600). Default: a file here, or printed if it is text."),
)
@click.option("--force", is_flag=True, help=_("Replace a file that is there."))
@click.option("--with-password", is_flag=True, help=_("Write the machine's password in it, readable."))
@click.option("--install", is_flag=True, help=_("Also put it into the program's own settings."))
@click.option("--uninstall", is_flag=True, help=_("Take it out of the program's own settings again."))
@json_option
@click.pass_obj
def export_command(
    app: App,
    program: str,
    leases: tuple[str, ...],
    every: bool,
    output: Path | None,
    force: bool,
    with_password: bool,
    install: bool,
    uninstall: bool,
) -> None:
    """Write LEASES down as PROGRAM reads them: a profile to open, import or paste."""
    from gpurent.workflow.connection.exports import Exports

    _one_way(leases, every=every, both=install and uninstall)
    if uninstall:
        done = app.run(lambda service: _later(lambda: Exports(service.desk).take_out(program, leases)))
        app.show({"program": program, "done": done}, "\n".join(done) or _("Nothing was there."))
        return
    if with_password and not app.as_json:
        click.secho(_("The password will stand in it for everyone who can read it."), fg="yellow", err=True)
    written = app.run(
        lambda service: Exports(service.desk).write(program, leases, passwords=with_password, install=install)
    )
    _show(app, program, written, _save(written.export, output, force))


async def _later(action: Any) -> Any:
    return action()


def _one_way(leases: tuple[str, ...], *, every: bool, both: bool) -> None:
    if both:
        raise click.UsageError(_("--install and --uninstall exclude each other"))
    if bool(leases) is every:
        raise click.UsageError(_("name the leases, or say --all"))


def _save(export: Export, output: Path | None, force: bool) -> Path | None:
    """Where it was written; None when it is only printed."""
    from gpurent.errors import UsageError
    from gpurent.infra.platform.posix.files import write_private

    if output is None and export.file is None:
        return None
    path = (output or Path(export.file.name if export.file else "")).absolute()
    if path.exists() and not force:
        raise UsageError(_("{path} is there already").format(path=path), hint=_("Replace it with --force."))
    if not path.parent.is_dir():
        raise UsageError(_("{path} is not a folder").format(path=path.parent))
    write_private(path, export.file.content if export.file else f"{export.text}\n".encode())
    return path


def _show(app: App, program: str, written: Written, path: Path | None) -> None:
    export = written.export
    data = {
        "program": program,
        "leases": written.leases,
        "file": path,
        "text": export.text,
        "notes": export.notes,
        "done": written.done,
    }
    if app.as_json:
        app.show(data, "")
        return
    if export.text and (path is None or export.file):
        click.echo(export.text)
    for line in (*((_("Written: {path}").format(path=path),) if path else ()), *written.done, *export.notes):
        click.echo(line, err=True)


class _OpenCommand(click.Command):
    """One flag for each program that can be started on a machine."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        app = ctx.find_object(App)
        entries = app.registry.exporter.values() if app else ()
        flags: list[click.Parameter] = [
            click.Option([f"--{entry.name}"], flag_value=entry.name, expose_value=False, help=entry.summary,
                         callback=_choose, type=str)
            for entry in entries
            if entry.opens
        ]  # fmt: skip
        return [*super().get_params(ctx), *flags]


def _choose(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        ctx.meta["gpurent.program"] = value


@click.command("open", cls=_OpenCommand)
@click.argument("lease", shell_complete=lease_ids)
@click.option("--print", "only_print", is_flag=True, help=_("Print the address; start nothing."))
@json_option
@click.pass_context
def open_command(ctx: click.Context, lease: str, only_print: bool) -> None:
    """Open the page of LEASE at its provider, or a program on it."""
    app: App = ctx.obj
    program = ctx.meta.get("gpurent.program", "")
    found = app.run(lambda service: _address(service, lease, program))
    started = False if only_print else _start(*found)
    app.show({"link": found[1], "started": started}, found[1])


async def _address(service: Service, lease: str, program: str) -> tuple[tuple[str, ...], str]:
    """What starts it, and its URL."""
    from gpurent.errors import UsageError
    from gpurent.workflow.connection.exports import Exports

    exports = Exports(service.desk)
    if program:
        exported, opening = await exports.opening(program, lease)
        return opening.command(exported), opening.link(exported)
    page = exports.page(lease)
    if not page:
        raise UsageError(
            _("the provider of {lease} has no page").format(lease=lease),
            hint=_("Open a shell instead: gpurent ssh {lease}").format(lease=lease),
        )
    return (), page


def _start(command: tuple[str, ...], link: str) -> bool:
    """Start the program if it is there; a page goes to the browser."""
    if not command:
        return link.startswith(("https://", "http://")) and click.launch(link) == 0
    program = shutil.which(command[0])
    if program is None:
        click.echo(_("{program} is not here; open this by hand:").format(program=command[0]), err=True)
        return False
    return subprocess.run([program, *command[1:]], check=False, stdin=subprocess.DEVNULL).returncode == 0

"""``export open forward jupyter``: use machines with your own programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.child_processes import (
    DESKTOP_VARIABLES,
    TERMINAL_VARIABLES,
    USER_VARIABLES,
    find_program,
    make_child_environment,
    start_program,
)
from gpurent.cli.arguments import complete_leases, complete_plugins, lease_argument
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import Line, flush_output, write_line, write_text
from gpurent.cli.params import PORT_PAIR, NumberParam
from gpurent.cli.trip_spec import add_field_options
from gpurent.cli.until_stopped import run_until_stopped
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.ports.connection import PortPair
from gpurent.roles.entries import ExporterEntry

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.roles.exporter import Export
    from gpurent.workflow.connection.exports import ExportResult, Exports
    from gpurent.workflow.connection.port_forwarding import PortForwarder


@click.command("export")
@click.argument("program", shell_complete=complete_plugins("exporter"))
@click.argument("leases", nargs=-1, shell_complete=complete_leases)
@click.option("--all", "every", is_flag=True, help=_("All running leases."))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=_("Output file (mode 0600). Default: a file in the current folder; text is printed."),
)
@click.option("--force", is_flag=True, help=_("Overwrite an existing file."))
@click.option("--with-password", is_flag=True, help=_("Include the machine's password in plain text."))
@click.option("--install", is_flag=True, help=_("Also add it to the program's own settings."))
@click.option("--uninstall", is_flag=True, help=_("Remove it from the program's own settings."))
@json_option
@click.pass_obj
def export_command(
    app: CliContext,
    program: str,
    leases: tuple[str, ...],
    every: bool,
    output: Path | None,
    force: bool,
    with_password: bool,
    install: bool,
    uninstall: bool,
) -> None:
    """Export LEASES as connection profiles that PROGRAM can open, import or paste."""
    if install and uninstall:
        raise click.UsageError(_("--install and --uninstall cannot be used together"))
    if bool(leases) is every:
        raise click.UsageError(_("give either lease names or --all"))
    if uninstall:

        async def remove(application: Application) -> Sequence[str]:
            return list(await application.exports.uninstall_leases(program, leases))

        done = app.run(remove)
        app.show(
            {"program": program, "changes": done}, [Line(line) for line in done] or _("Nothing to remove.")
        )
        return
    if with_password and not app.as_json:
        write_line(
            _("The password is included in plain text; anyone who can read the export can see it."),
            colour="yellow",
            err=True,
        )
    written = app.run(
        lambda application: application.exports.export_leases(
            program, leases, passwords=with_password, install=install
        )
    )
    _show_export(app, program, written, _save_export(written.export, output, force))


def _save_export(export: Export, output: Path | None, force: bool) -> Path | None:
    """Write the export and return its path; None when it is only printed."""
    from gpurent.composition.files import write_private_file

    if output is None and export.file is None:
        return None
    path = (output or Path(export.file.name if export.file else "")).absolute()
    if path.exists() and not force:
        raise UsageError(_("{path} already exists").format(path=path), hint=_("Overwrite it with: --force"))
    if not path.parent.is_dir():
        raise UsageError(_("{path} is not a folder").format(path=path.parent))
    write_private_file(path, export.file.content if export.file else f"{export.text}\n".encode())
    return path


def _show_export(app: CliContext, program: str, written: ExportResult, path: Path | None) -> None:
    export = written.export
    data = {
        "program": program,
        "leases": written.leases,
        "file": path,
        "text": export.text,
        "notes": export.notes,
        "changes": written.changes,
    }
    if app.as_json:
        app.show(data, "")
        return
    if export.text and (path is None or export.file):
        write_text(export.text)
    for line in (
        *((_("Written: {path}").format(path=path),) if path else ()),
        *written.changes,
        *export.notes,
    ):
        write_line(line, err=True)


class _OpenCommand(click.Command):
    """A command with a flag for each program that can be started on a machine."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        app = ctx.find_object(CliContext)
        entries = app.registry.get_entries(ExporterEntry).values() if app else ()
        flags: list[click.Parameter] = [
            click.Option([f"--{entry.name}"], flag_value=entry.name, expose_value=False, help=entry.summary,
                         callback=_set_program, type=str)
            for entry in entries
            if entry.can_open
        ]  # fmt: skip
        return [*super().get_params(ctx), *flags]


def _set_program(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        ctx.meta["gpurent.program"] = value


@click.command("open", cls=_OpenCommand)
@lease_argument
@click.option("--print", "only_print", is_flag=True, help=_("Print the address without opening anything."))
@json_option
@click.pass_context
def open_command(ctx: click.Context, lease: str, only_print: bool) -> None:
    """Open the provider's page of LEASE, or a program connected to it."""
    app: CliContext = ctx.obj
    program = ctx.meta.get("gpurent.program", "")
    found = app.run(lambda application: _resolve_open_target(application.exports, lease, program))
    started = False if only_print else _start_program(*found)
    app.show({"url": found[1], "started": started}, found[1])


async def _resolve_open_target(exports: Exports, lease: str, program: str) -> tuple[tuple[str, ...], str]:
    if program:
        exported, opening = await exports.prepare_program(program, lease)
        return opening.make_open_command(exported), opening.make_open_link(exported)
    page = await exports.get_page_url(lease)
    if not page:
        raise UsageError(
            _("the provider of {lease} has no web page").format(lease=lease),
            hint=_("Open a shell instead: gpurent ssh {lease}").format(lease=lease),
        )
    return (), page


def _start_program(command: tuple[str, ...], link: str) -> bool:
    """Start the program if it is installed; a web page is opened in the browser."""
    if not command:
        from gpurent.composition.browser import open_in_browser

        return link.startswith(("https://", "http://")) and open_in_browser(link)
    program = find_program(command[0])
    if program is None:
        write_line(
            _("{program} is not installed here; open this manually:").format(program=command[0]), err=True
        )
        return False
    environment = make_child_environment((*USER_VARIABLES, *TERMINAL_VARIABLES, *DESKTOP_VARIABLES))
    return start_program([program, *command[1:]], environment=environment).wait() == 0


@click.command("forward")
@lease_argument
@click.argument("ports", nargs=-1, required=True, type=PORT_PAIR, metavar="LOCAL[:REMOTE]…")
@click.option(
    "--bind", "address", default="127.0.0.1", show_default=True, help=_("Local address to listen on.")
)
@json_option
@click.pass_obj
def forward_command(app: CliContext, lease: str, ports: tuple[PortPair, ...], address: str) -> None:
    """Forward ports of a machine (Jupyter: 8888, TensorBoard: 6006) to this computer until Ctrl-C.

    LOCAL is the port on this computer (0: any free port), REMOTE the port on the machine (default: the same number).
    """

    async def go(application: Application) -> None:
        from gpurent.workflow.connection.port_forwarding import browser_host

        def ready(here: Sequence[int]) -> None:
            urls = [f"http://{browser_host(address)}:{port}/" for port in here]
            data = [{"url": url, "port": pair.remote} for url, pair in zip(urls, ports, strict=True)]
            app.show(data, "\n".join(urls))

        await _forward_ports(application.forwarding, lease, ports, address, ready)

    run_until_stopped(app, lease, go, _("Closed."))


async def _forward_ports(
    forwarding: PortForwarder,
    lease: str,
    ports: Sequence[PortPair],
    address: str,
    ready: Callable[[Sequence[int]], None],
) -> None:
    from gpurent.workflow.connection.port_forwarding import exposure_warning

    if warning := exposure_warning(address):
        write_line(warning, colour="yellow", err=True)
    async with forwarding.forward_ports(lease, ports, address) as forward:
        ready(forward.local_ports)
        flush_output()
        await forward.keep_open()


@click.command("jupyter")
@lease_argument
@click.option("--port", type=NumberParam(0, 65535), default=0, help=_("Local port (0: any free port)."))
@click.option("--install", is_flag=True, help=_("Install JupyterLab on the machine if it is missing."))
@click.option("--stop", is_flag=True, help=_("Stop the notebook server on the machine."))
@click.option("--no-browser", is_flag=True, help=_("Print the address without opening a browser."))
@add_field_options(("session",), default="")
@json_option
@click.pass_obj
def jupyter_command(
    app: CliContext, lease: str, port: int, install: bool, stop: bool, no_browser: bool, session: str
) -> None:
    """Start a notebook server on a machine, or find the running one, and open it here until Ctrl-C.

    The server keeps running in its own session; --stop ends it.
    """
    if stop:
        name = app.run(lambda application: application.notebooks.stop_server(lease, session))
        app.show(
            {"stopped": name},
            _("{name} was stopped.").format(name=name) if name else _("No notebook server is running."),
        )
        return

    async def go(application: Application) -> None:
        from gpurent.composition.browser import open_privately
        from gpurent.composition.system import data_folder

        book = await application.notebooks.start_server(lease, session=session, install=install)
        ports = [PortPair(port, book.port)]

        def ready(here: Sequence[int]) -> None:
            url = book.url("127.0.0.1", here[0])
            app.show({"url": url, "job": book.job, "started": book.fresh}, url)
            if not (no_browser or app.as_json) and sys.stdout.isatty():
                pages.enter_context(open_privately(url, data_folder() / "pages"))

        with ExitStack() as pages:
            await _forward_ports(application.forwarding, lease, ports, "127.0.0.1", ready)

    text = _("Closed. The notebook server keeps running; to stop it: gpurent jupyter {lease} --stop")
    run_until_stopped(app, lease, go, text.format(lease=lease))

"""``forward jupyter``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.infra.ssh.tunnel import Ports
    from gpurent.workflow.connection.notebook import Notebook
    from gpurent.workflow.trips.operations import Service

_LEASE = click.argument("lease", shell_complete=lease_ids)
_BIND = click.option(
    "--bind", "address", default="127.0.0.1", show_default=True, help=_("The address to listen on here.")
)
# Here and there: 8888, 8889:8888, 0:8888 for any free port here.
Pair = tuple[int, int]


class PairType(click.ParamType[Pair]):
    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        if isinstance(value, tuple):
            return value
        here, colon, there = str(value).partition(":")
        there = there if colon else here
        plain = here.isascii() and here.isdecimal() and there.isascii() and there.isdecimal()
        if not plain or max(len(here), len(there)) > 5 or not (int(here) < 65536 and 0 < int(there) < 65536):
            self.fail(_("{text} is no port; write 8888, or 9000:8888").format(text=repr(value)), param, ctx)
        return int(here), int(there)


def _until_stopped(app: App, action: Callable[[Service], Any]) -> None:
    """Ctrl-C is how a forward ends: no error."""
    try:
        app.run(action)
    except KeyboardInterrupt:
        click.echo(_("Closed."), err=True)


@click.command("forward")
@_LEASE
@click.argument("ports", nargs=-1, required=True, type=PairType(), metavar="PORT[:REMOTE]…")
@_BIND
@json_option
@click.pass_obj
def forward_command(app: App, lease: str, ports: tuple[Pair, ...], address: str) -> None:
    """Reach PORT of a machine (Jupyter: 8888, TensorBoard: 6006) from here, until Ctrl-C."""

    async def go(service: Service) -> None:
        from gpurent.infra.ssh.tunnel import Ports
        from gpurent.workflow.connection.forwarding import shown

        def ready(here: Sequence[int]) -> None:
            urls = [f"http://{shown(address)}:{port}/" for port in here]
            app.show([{"url": url, "port": there} for url, (_here, there) in zip(urls, ports, strict=True)],
                     "\n".join(urls))  # fmt: skip

        await _stay(service, lease, [Ports(*pair) for pair in ports], address, ready)

    _until_stopped(app, go)


async def _stay(
    service: Service, lease: str, ports: Sequence[Ports], address: str, ready: Callable[[Sequence[int]], None]
) -> None:
    from gpurent.workflow.connection.forwarding import Forward, open_to_others

    forward = Forward(service.desk, lease)
    if warning := open_to_others(address):
        click.secho(warning, fg="yellow", err=True)
    async with forward.open(ports, address) as here:
        ready(here)
        sys.stdout.flush()
        await forward.stay()


@click.command("jupyter")
@_LEASE
@click.option("--port", type=click.IntRange(0, 65535), default=0, help=_("The port here (0: any free one)."))
@click.option("--install", is_flag=True, help=_("Install JupyterLab on the machine if it is missing."))
@click.option("--stop", is_flag=True, help=_("End the server on the machine."))
@click.option("--no-browser", is_flag=True, help=_("Only print the address."))
@click.option("--session", default="", help=_("screen, tmux, …"))
@json_option
@click.pass_obj
def jupyter_command(
    app: App, lease: str, port: int, install: bool, stop: bool, no_browser: bool, session: str
) -> None:
    """Start a notebook server on a machine, or find the one that runs, and open it here until Ctrl-C.

    The server goes on without you, in a session of its own; --stop ends it.
    """
    if stop:
        name = app.run(lambda service: _stop(service, lease, session))
        app.show(
            {"stopped": name}, _("{name} has ended.").format(name=name) if name else _("None is running.")
        )
        return

    async def go(service: Service) -> None:
        from gpurent.infra.ssh.tunnel import Ports

        book = await _start(service, lease, session, install)

        def ready(here: Sequence[int]) -> None:
            url = book.url("127.0.0.1", here[0])
            app.show({"url": url, "job": book.job, "fresh": book.fresh}, url)
            if not (no_browser or app.as_json) and sys.stdout.isatty():
                click.launch(url)

        await _stay(service, lease, [Ports(port, book.port)], "127.0.0.1", ready)

    _until_stopped(app, go)


async def _start(service: Service, lease: str, session: str, install: bool) -> Notebook:
    from gpurent.workflow.connection.notebook import Notebooks
    from gpurent.workflow.connection.reconnecting import ReconnectingConnection

    line = ReconnectingConnection(service.desk, service.desk.lease(lease).id)
    try:
        await line.look()
        return await Notebooks(service.desk, line, session).ready(install=install)
    finally:
        await line.close()


async def _stop(service: Service, lease: str, session: str) -> str:
    from gpurent.workflow.connection.notebook import Notebooks
    from gpurent.workflow.connection.reconnecting import ReconnectingConnection

    line = ReconnectingConnection(service.desk, service.desk.lease(lease).id)
    try:
        await line.look()
        return await Notebooks(service.desk, line, session).stop()
    finally:
        await line.close()

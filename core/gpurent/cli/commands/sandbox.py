"""``gpurent sandbox``: simulated providers; ``gpurent demo``: two whole trips, checked against simulator ledgers."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.cli.params import NumberParam
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _, join_list, ngettext
from gpurent.roles.simulator import Evidence

if TYPE_CHECKING:
    from gpurent.testing.sandbox.client import SandboxClient
    from gpurent.testing.sandbox.demo_script import DemoTrip


def _default_root() -> Path:
    from platformdirs import user_data_path

    return user_data_path("gpurent") / "sandbox"


_driver_option = click.option(
    "--driver",
    type=click.Choice(["embedded", "bwrap", "auto"]),
    default="auto",
    show_default=True,
    help=_("What the machines are: processes in a folder, or bubblewrap containers."),
)
_root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default=None,
    help=_("Folder of the sandbox."),
    show_default=False,
)


def load_sandbox_class() -> type[SandboxClient]:
    """Import the sandbox's client; its dependencies are an optional extra of the distribution."""
    try:
        from gpurent.testing.sandbox.client import SandboxClient
    except ImportError as error:
        raise PluginError(
            _("the sandbox needs {name}, which is not installed").format(name=error.name),
            hint="pip install 'gpurent[sandbox]'",
        ) from error
    return SandboxClient


def _get_sandbox(root: Path | None) -> SandboxClient:
    found = load_sandbox_class().find_running(root or _default_root())
    if found is None:
        raise UsageError(_("no sandbox is running"), hint=_("Start one: gpurent sandbox up"))
    return found


@click.group("sandbox")
def sandbox_command() -> None:
    """Simulated providers on this computer, with a mailbox and real machines, to try everything for free."""


@sandbox_command.command()
@_root_option
@click.option(
    "--speed",
    type=NumberParam(1, 100_000),
    default=60,
    show_default=True,
    help=_("Clock speed, as a multiple of real time."),
)
@click.option(
    "--machines",
    type=NumberParam(1, 1000),
    default=4,
    show_default=True,
    help=_("Number of free machines per simulator."),
)
@_driver_option
@click.option(
    "--set", "settings", multiple=True, metavar="SIMULATOR.KEY=VALUE", help=_("A setting of a simulator.")
)
def up_command(root: Path | None, speed: int, machines: int, driver: str, settings: tuple[str, ...]) -> None:
    """Start the sandbox in the background; it runs until `down`."""
    pairs: dict[str, str] = {}
    for text in settings:
        key, mark, value = text.partition("=")
        if not mark or "." not in key:
            raise UsageError(_("{text} is not in the form SIMULATOR.KEY=VALUE").format(text=text))
        pairs[key] = value
    options = {"speed": speed, "machines": machines, "driver": driver, "settings": pairs}
    state = load_sandbox_class().start(root or _default_root(), options).status()
    click.echo(_("The sandbox is running at {speed} times real time ({driver}).").format(**state))
    if state["driver_reason"]:
        click.echo(state["driver_reason"])
    where = f" --root {shlex.quote(str(root))}" if root else ""
    click.echo(_("To use it in this shell:") + f'\n  eval "$(gpurent sandbox env{where})"')


@sandbox_command.command()
@_root_option
@json_option
@click.pass_obj
def status_command(app: CliContext, root: Path | None) -> None:
    """Show the sandbox's time and machines.

    Also shows the simulators' statements, and how each route is known.
    """
    state = _get_sandbox(root).status()
    app.show(state, lambda: _status_text(state))


def _status_text(state: dict[str, Any]) -> str:
    lines = [f"{state['now']}  x{state['speed']}  {state['driver']}"]
    for name, url in state["urls"].items():
        counts = Counter(route["evidence"] for route in state["routes"][name])
        evidence = join_list(
            _("{count} {evidence}").format(count=count, evidence=Evidence(kind).title)
            for kind, count in sorted(counts.items())
        )
        calls = counts.total()
        known = ngettext("{count} call: {evidence}", "{count} calls: {evidence}", calls)
        lines.append(f"  {name:10} {url}  ({known.format(count=calls, evidence=evidence)})")
    running = len(state["machines"])
    text = ngettext("{count} machine is running", "{count} machines are running", running)
    lines.append(text.format(count=running))
    for name, entries in state["ledgers"].items():
        lines += [
            f"  {name:10} {entry['at'][:19]} {entry['kind']:14} "
            f"{entry['amount']:>18} {entry['currency']}  {entry['ref']}"
            for entry in entries
        ]
    return "\n".join(lines)


@sandbox_command.command()
@_root_option
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default=None,
    help=_("Folder for gpurent's state in the sandbox."),
)
def env_command(root: Path | None, home: Path | None) -> None:
    """Print what a shell has to evaluate to use the sandbox."""
    found = _get_sandbox(root)
    for name, value in sorted(found.environment(home or found.root / "home").items()):
        click.echo(f"export {name}={shlex.quote(value)}")


@sandbox_command.command()
@_root_option
@click.argument("seconds", type=NumberParam(1, 366 * 86400))
def advance_command(root: Path | None, seconds: int) -> None:
    """Advance the sandbox's clock by SECONDS."""
    _get_sandbox(root).advance(seconds)


@sandbox_command.command()
@_root_option
def cut_command(root: Path | None) -> None:
    """Drop every SSH connection, as a bad network would."""
    click.echo(_get_sandbox(root).cut_connections())


@sandbox_command.command()
@_root_option
@click.argument("simulator")
def rent_command(root: Path | None, simulator: str) -> None:
    """Rent a machine as a user does on the pages of SIMULATOR.

    Prints the SSH command and the password that the pages show.
    """
    found = _get_sandbox(root).rent_manually(simulator)
    click.echo(f"{found['ssh_command']}\n{found['password']}\n{found['ref']}")


@sandbox_command.command()
@_root_option
@click.argument("simulator")
@click.argument("ref")
def end_command(root: Path | None, simulator: str, ref: str) -> None:
    """End the machine REF as a user does on the pages of SIMULATOR."""
    _get_sandbox(root).stop_manually(simulator, ref)


@sandbox_command.command()
@_root_option
def down_command(root: Path | None) -> None:
    """Stop the sandbox and everything that runs in it."""
    _get_sandbox(root).stop()
    click.echo(_("The sandbox has stopped."))


DEMO_SPEED = 120


@click.command("demo")
@click.option("--keep", is_flag=True, help=_("Keep the results and the journal."))
@_driver_option
@click.option(
    "--example",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help=_("Project to run, instead of the built-in one."),
)
def demo_command(keep: bool, driver: str, example: Path | None) -> None:
    """Start a sandbox and make two complete trips with a real training job; ends with receipts and checks.

    MISTGPU: log in, top up, rent, upload, run, a dropped connection, results, shut down. 1024GPU: key, DBC, e-mail, a
    CPU container for a deposit, upload, switch to the GPU, run, renew, release with the e-mailed code. Nothing real
    is paid.
    """
    folder = example or _example_folder()
    root = Path(tempfile.mkdtemp(prefix="gpurent-demo-"))
    begun = time.monotonic()
    click.secho(_("Starting a sandbox: two simulators, a mailbox, a ledger, machines …"), bold=True)
    sandbox = load_sandbox_class().start(
        root / "sandbox", {"speed": DEMO_SPEED, "machines": 4, "driver": driver, "settings": {}}
    )
    left = -1
    trips: list[DemoTrip] = []
    try:
        trips = asyncio.run(_make_trips(sandbox, root, folder))
        left = len(sandbox.status()["billed_machines"]) + len(sandbox.status()["machines"])
    finally:
        sandbox.stop()
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
    good = _print_report(trips, left, time.monotonic() - begun)
    if keep:
        click.echo(_("All files are kept in {root}").format(root=root))
    if not good:
        raise SystemExit(1)


def _example_folder() -> Path:
    found = Path(__file__).parents[4] / "examples" / "digits"
    if not found.is_dir():
        raise UsageError(
            _("the example is not installed with the package"),
            hint=_("Give its folder in the source tree: gpurent demo --example examples/digits"),
        )
    return found


async def _make_trips(sandbox: SandboxClient, root: Path, example: Path) -> list[DemoTrip]:
    import httpx2

    from gpurent.cli.builtin import load_registry
    from gpurent.cli.terminal import UserTerminal
    from gpurent.composition.application import Application
    from gpurent.testing.sandbox.demo_script import DemoScript, DemoTerminal

    stage = DemoTerminal(UserTerminal())
    home = root / "state"
    environment = {**os.environ, **sandbox.environment(home)}
    application = Application(load_registry(), home, environment, stage)
    async with httpx2.AsyncClient() as client:

        async def pay(url: str, data: dict[str, Any]) -> None:
            (await client.post(url, json=data)).raise_for_status()

        story = DemoScript(
            sandbox=sandbox,
            application=application,
            terminal=stage,
            folder=root,
            example=example,
            post_payment=pay,
            print_line=lambda text: click.secho(text, fg="cyan"),
        )
        try:
            await application.start()
            _print_title(_("First trip: MISTGPU, billed by the minute in CNY"))
            first = await story.run_metered_trip("mistgpu", "student", "student-pass")
            _print_title(_("Second trip: 1024GPU, prepaid in DBC, upload on a CPU container"))
            second = await story.run_staged_trip("1024gpu", "dbc", "90000")
        finally:
            await application.aclose()
    return [first, second]


def _print_title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _print_report(trips: list[DemoTrip], left: int, seconds: float) -> bool:
    from gpurent.cli.views.render import format_receipt

    good = left == 0 and len(trips) == 2
    for trip in trips:
        _print_title(
            _("Receipt: {provider}, lease {lease}").format(provider=trip.provider, lease=trip.end.lease_id)
        )
        click.echo(format_receipt(trip.receipt))
        click.secho(_("The simulators' own statements:"), bold=True)
        for line in trip.ledger_rows:
            click.echo(
                f"  {line['simulator']:9} {line['at'][:19]}  {line['kind']:16} {line['amount']:>18} {line['currency']}"
            )
        for check in trip.checks:
            good = good and check.passed
            click.secho(
                f"  {'✓' if check.passed else '✗'} {check.description}", fg="green" if check.passed else "red"
            )
        click.echo(_("Accuracy reached: {accuracy}").format(accuracy=trip.accuracy))
    click.echo()
    still = (
        ngettext("{count} machine is still running.", "{count} machines are still running.", left)
        if left > 0
        else _("No machine is running any more.")
        if left == 0
        else _("It is not known whether machines are still running.")
    )
    click.secho(
        still.format(count=left),
        bold=True,
        fg="green" if left == 0 else "red",
    )
    click.echo(_("The demo took {seconds:.0f} s.").format(seconds=seconds))
    return good

"""``gpurent sandbox``: a rental world of one's own; ``gpurent demo``: two whole trips, checked against its books."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.context import CliContext, json_option
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.sandbox.client import SandboxClient
    from gpurent.testing.sandbox.demo_script import DemoTrip


def _default_root() -> Path:
    from platformdirs import user_data_path

    return user_data_path("gpurent") / "sandbox"


_root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=None,
    help=_("Where the sandbox lives."),
    show_default=False,
)


def load_sandbox_class() -> type[SandboxClient]:
    """The sandbox's own module; what it needs is an extra of the distribution."""
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
        raise UsageError(_("no sandbox is up"), hint="gpurent sandbox up")
    return found


@click.group("sandbox")
def sandbox_command() -> None:
    """A rental world on this computer: portals, mailbox, ledger and machines to try everything on, for nothing."""


@sandbox_command.command()
@_root_option
@click.option(
    "--speed",
    type=click.IntRange(1, 100_000),
    default=60,
    show_default=True,
    help=_("How fast its clock runs."),
)
@click.option(
    "--machines", type=click.IntRange(1, 1000), default=4, show_default=True, help=_("Machines a portal has.")
)
@click.option("--driver", type=click.Choice(["embedded", "bwrap", "auto"]), default="auto", show_default=True)
@click.option(
    "--set", "settings", multiple=True, metavar="PORTAL.KEY=VALUE", help=_("A setting of a portal.")
)
def up_command(root: Path | None, speed: int, machines: int, driver: str, settings: tuple[str, ...]) -> None:
    """Raise it in the background; it lives until ``down``."""
    pairs: dict[str, str] = {}
    for text in settings:
        key, mark, value = text.partition("=")
        if not mark or "." not in key:
            raise UsageError(_("{text} is not PORTAL.KEY=VALUE").format(text=text))
        pairs[key] = value
    options = {"speed": speed, "machines": machines, "driver": driver, "settings": pairs}
    state = load_sandbox_class().start(root or _default_root(), options).status()
    click.echo(_("The sandbox is up at {speed} times the real speed ({driver}).").format(**state))
    if state["driver_why"]:
        click.echo(state["driver_why"])
    where = f" --root {shlex.quote(str(root))}" if root else ""
    click.echo(_("To live in it, in this shell:") + f'\n  eval "$(gpurent sandbox env{where})"')


@sandbox_command.command()
@_root_option
@json_option
@click.pass_obj
def status_command(app: CliContext, root: Path | None) -> None:
    """Its time, its machines, its portals' ledgers, and how each route is known."""
    state = _get_sandbox(root).status()
    app.show(state, lambda: _status_text(state))


def _status_text(state: dict[str, Any]) -> str:
    lines = [f"{state['now']}  x{state['speed']}  {state['driver']}"]
    for name, url in state["urls"].items():
        tally: dict[str, int] = {}
        for route in state["routes"][name]:
            tally[route["evidence"]] = tally.get(route["evidence"], 0) + 1
        evidence = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.items()))
        lines.append(f"  {name:10} {url}  ({evidence})")
    lines.append(_("{count} machines are on").format(count=len(state["machines"])))
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
    "--home", type=click.Path(path_type=Path), default=None, help=_("Where gpurent keeps its state in it.")
)
def env_command(root: Path | None, home: Path | None) -> None:
    """Print the variables that make gpurent live in it, for a shell to read."""
    found = _get_sandbox(root)
    for name, value in sorted(found.environment(home or found.root / "home").items()):
        click.echo(f"export {name}={shlex.quote(value)}")


@sandbox_command.command()
@_root_option
@click.argument("seconds", type=click.IntRange(1))
def advance_command(root: Path | None, seconds: int) -> None:
    """Let its clock jump ahead by SECONDS."""
    _get_sandbox(root).advance(seconds)


@sandbox_command.command()
@_root_option
def cut_command(root: Path | None) -> None:
    """Cut every SSH line, as a bad network would."""
    click.echo(_get_sandbox(root).cut_connections())


@sandbox_command.command()
@_root_option
@click.argument("portal")
def rent_command(root: Path | None, portal: str) -> None:
    """Rent at PORTAL as a person does on its pages: prints the SSH line and the password that they show."""
    found = _get_sandbox(root).rent_manually(portal)
    click.echo(f"{found['line']}\n{found['password']}\n{found['ref']}")


@sandbox_command.command()
@_root_option
@click.argument("portal")
@click.argument("ref")
def end_command(root: Path | None, portal: str, ref: str) -> None:
    """End the machine REF at PORTAL as a person does on its pages."""
    _get_sandbox(root).stop_manually(portal, ref)


@sandbox_command.command()
@_root_option
def down_command(root: Path | None) -> None:
    """End it, with everything that runs in it."""
    _get_sandbox(root).stop()
    click.echo(_("The sandbox is down."))


DEMO_SPEED = 120


@click.command("demo")
@click.option("--keep", is_flag=True, help=_("Keep the results and the journal."))
@click.option("--driver", type=click.Choice(["embedded", "bwrap", "auto"]), default="auto", show_default=True)
@click.option("--example", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None)
def demo_command(keep: bool, driver: str, example: Path | None) -> None:
    """Raise a sandbox and make two whole trips with a real training job; ends with receipts and checks.

    MISTGPU: log in, top up, rent, upload, run, a cut line, results, shut. 1024GPU: key, DBC, mail, a CPU container by
    deposit, upload, switch to the GPU, run, renew, return with the mailed code. Nothing real is paid.
    """
    folder = example or _example_folder()
    root = Path(tempfile.mkdtemp(prefix="gpurent-demo-"))
    begun = time.monotonic()
    click.secho(_("Raising a sandbox: two shops, a mailbox, a ledger, machines …"), bold=True)
    sandbox = load_sandbox_class().start(
        root / "sandbox", {"speed": DEMO_SPEED, "machines": 4, "driver": driver, "settings": {}}
    )
    left = -1
    trips: list[DemoTrip] = []
    try:
        trips = asyncio.run(_make_trips(sandbox, root, folder))
        left = len(sandbox.status()["burning"]) + len(sandbox.status()["machines"])
    finally:
        sandbox.stop()
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
    good = _print_report(trips, left, time.monotonic() - begun)
    if keep:
        click.echo(_("Everything is kept under {root}").format(root=root))
    if not good:
        raise SystemExit(1)


def _example_folder() -> Path:
    found = Path(__file__).parents[4] / "examples" / "digits"
    if not found.is_dir():
        raise UsageError(
            _("the example is not installed with the package"),
            hint=_("Give its folder from the source tree: gpurent demo --example examples/digits"),
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
            _print_title(_("First trip: MISTGPU, paid by the minute in CNY"))
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
        click.secho(_("The portals' own ledgers:"), bold=True)
        for line in trip.ledger_rows:
            click.echo(
                f"  {line['portal']:9} {line['at'][:19]}  {line['kind']:16} {line['amount']:>18} {line['currency']}"
            )
        for check in trip.checks:
            good = good and check.passed
            click.secho(
                f"  {'✓' if check.passed else '✗'} {check.description}", fg="green" if check.passed else "red"
            )
        click.echo(_("Accuracy reached: {accuracy}").format(accuracy=trip.accuracy))
    click.echo()
    click.secho(_("{left} machines left").format(left=left), bold=True, fg="green" if left == 0 else "red")
    click.echo(_("The demo took {seconds:.0f} s.").format(seconds=seconds))
    return good

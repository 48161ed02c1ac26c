"""``gpurent demo``: whole trips, checked against simulator ledgers."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.cli.arguments import complete_providers
from gpurent.cli.commands.sandbox.group import driver_option, load_sandbox_class, print_driver
from gpurent.cli.output import write_line, write_text
from gpurent.errors import UsageError
from gpurent.locale import _, ngettext

if TYPE_CHECKING:
    from gpurent.testing.sandbox.client import SandboxClient
    from gpurent.testing.sandbox.demo_script import DemoScript, DemoTrip

DEMO_SPEED = 120
DEMO_PROVIDERS = ("mistgpu", "1024gpu")
# The ledger and the amount of money of a provider whose trip is staged; every other one is metered.
STAGED_TRIPS = {"1024gpu": ("dbc", "90000")}


@click.command("demo")
@click.option(
    "--provider",
    "-p",
    "providers",
    multiple=True,
    default=DEMO_PROVIDERS,
    shell_complete=complete_providers,
    help=_("Make the trip at this provider instead; repeatable."),
)
@click.option("--keep", is_flag=True, help=_("Keep the results and the journal."))
@driver_option
@click.option(
    "--example",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help=_("Project to run, instead of the built-in one."),
)
def demo_command(providers: tuple[str, ...], keep: bool, driver: str, example: Path | None) -> None:
    """Start a sandbox and make two complete trips with a real training job; ends with receipts and checks.

    MISTGPU: log in, top up, rent, upload, run, a dropped connection, results, shut down. 1024GPU: key, DBC, e-mail, a
    CPU container for a deposit, upload, switch to the GPU, run, renew, release with the e-mailed code. Nothing real
    is paid.
    """
    folder = example or _example_folder()
    root = Path(tempfile.mkdtemp(prefix="gpurent-demo-"))
    begun = time.monotonic()
    write_line(_("Starting a sandbox: simulators, a mailbox, a ledger, machines …"), bold=True)
    sandbox = load_sandbox_class().start(
        root / "sandbox", {"speed": DEMO_SPEED, "machines": 4, "driver": driver, "settings": {}}
    )
    left = -1
    trips: list[DemoTrip] = []
    try:
        print_driver(sandbox.status())
        trips = asyncio.run(_make_trips(providers, sandbox, root, folder))
        left = len(sandbox.status()["billed_machines"]) + len(sandbox.status()["machines"])
    finally:
        sandbox.stop()
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
    good = _print_report(trips, left, time.monotonic() - begun) and len(trips) == len(providers)
    if keep:
        write_line(_("All files are kept in {root}").format(root=root))
    if not good:
        raise SystemExit(1)


def _example_folder() -> Path:
    found = Path(__file__).parents[5] / "examples" / "digits"
    if not found.is_dir():
        raise UsageError(
            _("the example is not installed with the package"),
            hint=_("Give its folder in the source tree: gpurent demo --example examples/digits"),
        )
    return found


async def _make_trips(
    providers: Sequence[str], sandbox: SandboxClient, root: Path, example: Path
) -> list[DemoTrip]:
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
            print_line=lambda text: write_line(text, colour="cyan"),
        )
        try:
            await application.start()
            return [await _make_trip(story, number, name) for number, name in enumerate(providers, 1)]
        finally:
            await application.aclose()


async def _make_trip(story: DemoScript, number: int, provider: str) -> DemoTrip:
    staged = STAGED_TRIPS.get(provider)
    text = _("Trip {number}: {provider}, prepaid, upload on a CPU container")
    if staged is None:
        text = _("Trip {number}: {provider}, billed as time passes")
    _print_title(text.format(number=number, provider=provider))
    if staged is None:
        return await story.run_metered_trip(provider)
    ledger, amount = staged
    return await story.run_staged_trip(provider, ledger, amount)


def _print_title(text: str) -> None:
    write_line()
    write_line(text, bold=True)


def _print_report(trips: list[DemoTrip], left: int, seconds: float) -> bool:
    from gpurent.cli.views.render import format_receipt

    good = left == 0
    for trip in trips:
        _print_title(
            _("Receipt: {provider}, lease {lease}").format(provider=trip.provider, lease=trip.end.lease_id)
        )
        write_text(format_receipt(trip.receipt))
        write_line(_("The simulators' own statements:"), bold=True)
        for line in trip.ledger_rows:
            write_line(
                f"  {line['simulator']:9} {line['at'][:19]}  {line['kind']:16} {line['amount']:>18} {line['currency']}"
            )
        for check in trip.checks:
            good = good and check.passed
            write_line(
                f"  {'✓' if check.passed else '✗'} {check.description}",
                colour="green" if check.passed else "red",
            )
        write_line(_("Accuracy reached: {accuracy}").format(accuracy=trip.accuracy))
    write_line()
    still = (
        ngettext("{count} machine is still running.", "{count} machines are still running.", left)
        if left > 0
        else _("No machine is running any more.")
        if left == 0
        else _("It is not known whether machines are still running.")
    )
    write_line(
        still.format(count=left),
        bold=True,
        colour="green" if left == 0 else "red",
    )
    write_line(_("The demo took {seconds:.0f} s.").format(seconds=seconds))
    return good

"""``gpurent demo``: two whole trips in a sandbox, checked against the portals' own books."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.testing.sandbox.handle import Sandbox
    from gpurent.testing.sandbox.story import Told

SPEED = 120


@click.command("demo")
@click.option("--keep", is_flag=True, help=_("Keep the results and the journal."))
@click.option("--driver", type=click.Choice(["embedded", "bwrap", "auto"]), default="auto", show_default=True)
@click.option("--example", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None)
def demo_command(keep: bool, driver: str, example: Path | None) -> None:
    """Raise a sandbox and make two whole trips with a real training job; ends with receipts and checks.

    MISTGPU: log in, top up, rent, upload, run, a cut line, results, shut. 1024GPU: key, DBC, mail, a CPU container by
    deposit, upload, switch to the GPU, run, renew, return with the mailed code. Nothing real is paid.
    """
    from gpurent.cli.commands.sandbox import handle

    folder = example or _example()
    root = Path(tempfile.mkdtemp(prefix="gpurent-demo-"))
    begun = time.monotonic()
    click.secho(_("Raising a sandbox: two shops, a mailbox, a ledger, machines …"), bold=True)
    sandbox = handle().up(root / "sandbox", {"speed": SPEED, "machines": 4, "driver": driver, "settings": {}})
    left = -1
    told: list[Told] = []
    try:
        told = asyncio.run(_tell(sandbox, root, folder))
        left = len(sandbox.status()["burning"]) + len(sandbox.status()["machines"])
    finally:
        sandbox.down()
        if not keep:
            _remove(root)
    good = _conclude(told, left, time.monotonic() - begun)
    if keep:
        click.echo(_("Everything is kept under {root}").format(root=root))
    if not good:
        raise SystemExit(1)


def _example() -> Path:
    found = Path(__file__).parents[4] / "examples" / "digits"
    if not found.is_dir():
        raise UsageError(
            _("the example is not installed with the package"),
            hint=_("Give its folder from the source tree: gpurent demo --example examples/digits"),
        )
    return found


async def _tell(sandbox: Sandbox, root: Path, example: Path) -> list[Told]:
    import httpx2

    from gpurent.cli.builtin import registry
    from gpurent.cli.ui import TerminalUi
    from gpurent.testing.sandbox.story import Stage, Story
    from gpurent.workflow.runtime.desk import Desk

    stage = Stage(TerminalUi())
    home = root / "state"
    home.mkdir(mode=0o700)
    desk = Desk(registry(), home, stage, {**os.environ, **sandbox.environment(home)})
    async with httpx2.AsyncClient() as client:

        async def pay(url: str, data: dict[str, Any]) -> None:
            (await client.post(url, json=data)).raise_for_status()

        story = Story(
            sandbox=sandbox,
            desk=desk,
            stage=stage,
            example=example,
            pay=pay,
            say=lambda text: click.secho(text, fg="cyan"),
        )
        try:
            _title(_("First trip: MISTGPU, paid by the minute in CNY"))
            first = await story.metered("mistgpu", "student", "student-pass")
            _title(_("Second trip: 1024GPU, prepaid in DBC, upload on a CPU container"))
            second = await story.staged("1024gpu", "dbc", "90000")
        finally:
            await desk.close()
    return [first, second]


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _conclude(told: list[Told], left: int, seconds: float) -> bool:
    from gpurent.cli.views.render import receipt_text

    good = left == 0 and len(told) == 2
    for trip in told:
        _title(_("Receipt: {provider}, lease {lease}").format(provider=trip.provider, lease=trip.end.lease))
        click.echo(receipt_text(trip.receipt))
        click.secho(_("The portals' own ledgers:"), bold=True)
        for line in trip.books:
            click.echo(
                f"  {line['portal']:9} {line['at'][:19]}  {line['kind']:16} {line['amount']:>18} {line['currency']}"
            )
        for check in trip.checks:
            good = good and check.good
            click.secho(f"  {'✓' if check.good else '✗'} {check.what}", fg="green" if check.good else "red")
        click.echo(_("Accuracy reached: {accuracy}").format(accuracy=trip.accuracy))
    click.echo()
    click.secho(_("{left} machines left").format(left=left), bold=True, fg="green" if left == 0 else "red")
    click.echo(_("The demo took {seconds:.0f} s.").format(seconds=seconds))
    return good


def _remove(root: Path) -> None:
    import shutil

    shutil.rmtree(root, ignore_errors=True)

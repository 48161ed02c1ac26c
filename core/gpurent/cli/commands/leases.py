"""``renew upgrade downgrade restart release timer doctor`` and more: commands that change or examine a machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from gpurent.cli.arguments import lease_argument
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.output import Line, Page, write_text
from gpurent.cli.params import (
    DURATION,
    PRICE,
    TIME,
    no_browser_option,
)
from gpurent.cli.trip_spec import (
    MACHINE_FIELDS,
    add_field_options,
    collect_field_values,
)
from gpurent.cli.views.render import format_moment, format_receipt
from gpurent.cli.views.table import format_table
from gpurent.domain.health import HealthReport
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.trip import RestartOptions
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import RemoteError, StorageError, UsageError
from gpurent.locale import N_, _

if TYPE_CHECKING:
    from gpurent.composition.application import Application
    from gpurent.domain.receipt import Receipt
    from gpurent.domain.time_left import MachineTimer


@click.command("renew")
@lease_argument
@click.option(
    "--for", "term", type=DURATION, required=True, help=_("How much time to add, e.g. 1d or 2h30m.")
)
@json_option
@click.pass_obj
def renew_command(app: CliContext, lease: str, term: timedelta) -> None:
    """Buy more time for a prepaid lease."""

    async def show(found: Lease) -> None:
        text = _("{lease} runs until {until}.")
        app.show(found, lambda: text.format(lease=found.id, until=format_moment(found.expires_at)))

    app.run(lambda application: application.lease_changes.renew(lease, term, show=show))


@click.command("upgrade")
@lease_argument
@add_field_options((*MACHINE_FIELDS, "image", "for"))
@json_option
@click.pass_obj
def upgrade_command(app: CliContext, /, lease: str, **given: Any) -> None:
    """Switch a staged (CPU) machine to its GPU; files are kept, the deposit is returned."""
    spec = make_trip_spec(collect_field_values(given))
    app.run(
        lambda application: application.lease_changes.upgrade(lease, spec, show=partial(_show_place, app))
    )


@click.command("downgrade")
@lease_argument
@click.option("--for", "term", type=DURATION, help=_("How long to keep it, e.g. 1d or 2h30m (default: 1d)."))
@json_option
@click.pass_obj
def downgrade_command(app: CliContext, lease: str, term: timedelta | None) -> None:
    """Switch a machine back to a CPU machine; files are kept, its jobs end.

    Says first which jobs that ends and what it costs, and asks. `gpurent upgrade` switches to the GPU again.
    """
    app.run(
        lambda application: application.lease_changes.downgrade(lease, term, show=partial(_show_place, app))
    )


@click.command("shutdown")
@lease_argument
@json_option
@click.pass_obj
def shutdown_command(app: CliContext, lease: str) -> None:
    """Shut a machine down and keep its files. Says first what that costs and which jobs it ends, and asks.

    Some providers keep the files free of charge, for a while; with others a machine that is shut down still costs
    money, if less, until it is released.
    """
    found = app.run(lambda application: application.machine_stops.stop_machine(lease))
    app.show(found, lambda: _format_stopped(found))


def _format_stopped(lease: Lease) -> str:
    if lease.is_over:
        return f"{lease.id}: {lease.state.title}"
    return _("{lease}: {state}, {price} a day. Start it again: gpurent restart {lease}").format(
        lease=lease.id, state=lease.state_title, price=lease.current_price.cost(timedelta(days=1))
    )


@click.command("restart")
@lease_argument
@click.option(
    "--for",
    "term",
    type=DURATION,
    help=_("If it is prepaid: for how long, e.g. 1d or 2h30m (default: as short as possible)."),
)
@click.option("--cpu", "staged", is_flag=True, help=_("Without its GPU, as a machine to upload to."))
@json_option
@click.pass_obj
def restart_command(app: CliContext, lease: str, term: timedelta | None, staged: bool) -> None:
    """Start a machine again after it was shut down, with its kept files.

    One that is still rented keeps its lease; any other gets a new one.
    """
    options = RestartOptions(term=term, is_staged=staged)
    app.run(
        lambda application: application.lease_changes.restart(lease, options, show=partial(_show_place, app))
    )


async def _show_place(app: CliContext, lease: Lease) -> None:
    app.show(lease, lambda: f"{lease.id}: {lease.endpoint}")


@click.command("bid")
@lease_argument
@click.argument("price", type=PRICE)
@json_option
@click.pass_obj
def bid_command(app: CliContext, lease: str, price: UnitPrice) -> None:
    """Change what you pay for a spot machine to PRICE, e.g. 0.3USD/h.

    While somebody pays more for its GPUs it is interrupted, and only its disk costs money.
    """
    found = app.run(lambda application: application.bid_changes.change_bid(lease, price))
    app.show(found, lambda: f"{found.id}: {found.state.title}, {found.current_price}")


@click.command("release")
@lease_argument
@click.option(
    "--confirmed", is_flag=True, help=_("Confirm that it has ended, as you saw on the provider's page.")
)
@no_browser_option
@json_option
@click.pass_obj
def release_command(app: CliContext, lease: str, confirmed: bool) -> None:
    """Release a machine and show its receipt. Asks first if a job, a trip or results would be lost."""

    async def go(application: Application) -> Receipt:
        if await application.lost_leases.restore_if_lost(lease):
            await application.leases.try_refresh_lease(lease)
        if confirmed and (await application.leases.get_lease(lease)).declared is None:
            return await application.releases.drop_lease(lease)
        if confirmed:
            await application.manual_commands.confirm_end(lease)
        else:
            await application.release_review.require_release(lease)
        return await application.releases.release_lease(lease)

    try:
        receipt, recorded = app.run(go), True
    except StorageError as error:
        receipt, recorded = _release_unrecorded(app, go, error), False
    data = {"receipt": receipt, "totals": receipt.totals(), "recorded": recorded}
    app.show(data, lambda: format_receipt(receipt))


def _release_unrecorded(
    app: CliContext, go: Callable[[Application], Awaitable[Receipt]], error: StorageError
) -> Receipt:
    """Release where the state on disk cannot be read or written: what costs money can always be ended."""
    lines = (error.message, _("The machine is released all the same, but that is not recorded here."))
    write_text("\n".join(lines), colour="yellow", err=True)
    receipt = app.run(go, is_recorded=False)
    write_text(
        "\n".join((_("Released, but not recorded. {hint}"), _("After that: gpurent ls --refresh"))).format(
            hint=error.hint
        ),
        colour="yellow",
        err=True,
    )
    return receipt


@click.command("timer")
@lease_argument
@click.option("--for", "term", type=DURATION, help=_("Shut down after this time, e.g. 2h30m."))
@click.option(
    "--until",
    type=TIME,
    help=_("Shut down at this time, e.g. 18:30 or 2026-11-24T18:30 (your local time)."),
)
@click.option("--extend", type=DURATION, help=_("Postpone the shutdown by this much."))
@click.option("--off", is_flag=True, help=_("Turn the timer off."))
@json_option
@click.pass_obj
def timer_command(
    app: CliContext,
    lease: str,
    term: timedelta | None,
    until: datetime | None,
    extend: timedelta | None,
    off: bool,
) -> None:
    """Show or set when the machine shuts itself down, even if this computer is off."""
    from gpurent.workflow.timing.timers import format_timer

    if sum((term is not None, until is not None, extend is not None, off)) > 1:
        raise UsageError(_("--for, --until, --extend and --off cannot be used together"))

    async def go(application: Application) -> MachineTimer:
        timers = application.timer_commands
        if off:
            return await timers.disarm_timer(lease)
        if extend is not None:
            return await timers.extend_timer(lease, extend)
        end = term if until is None else until
        if end is not None:
            return await timers.arm_timer(lease, end)
        return await timers.get_timer(lease)

    found = app.run(go)
    app.show(found, lambda: format_timer(found))


VERDICT_TITLES = {
    "ok": N_("ok"),
    "warning": N_("warning"),
    "failure": N_("FAILURE"),
    "unchecked": N_("not checked"),
}
CHECK_TITLES = {
    "driver": N_("driver"),
    "gpu": "GPU",
    "ecc": N_("GPU memory errors"),
    "busy": N_("other GPU processes"),
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "framework": N_("framework"),
    "python": "Python",
    "disk": N_("disk"),
    "disk-speed": N_("disk speed"),
    "clock": N_("clock"),
    "network": N_("network"),
    "power": N_("GPU power limit"),
    "clocks": N_("GPU clocks"),
    "pcie": "PCIe",
    "gpu-bandwidth": N_("GPU memory speed"),
    "disk-throughput": N_("disk throughput"),
    "disk-size": N_("disk size"),
    "doctor": N_("examination"),
}
_VERDICT_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red", "unchecked": "cyan"}


@click.command("doctor")
@lease_argument
@click.option(
    "--python", default="", help=_("Python that your job will use, e.g. python3 or /opt/conda/bin/python.")
)
@click.option(
    "--perf",
    "performance",
    is_flag=True,
    help=_(
        "Also load GPUs and disks for a minute (no job should run), and compare them with what you pay for."
    ),
)
@json_option
@click.pass_obj
def doctor_command(app: CliContext, lease: str, python: str, performance: bool) -> None:
    """Examine a machine. Exit code 7 if a check failed.

    Runs a small forward and backward convolution on every GPU with PyTorch or TensorFlow, if installed. Can take a few
    minutes on a faulty machine, which is billed meanwhile.
    """
    health = app.run(
        lambda application: application.doctor.examine_lease(lease, python, performance=performance)
    )
    data = {"verdict": health.verdict, **asdict(health, recurse=False)}
    app.show(data, lambda: format_health(health, lease))
    if health.verdict.value == "failure":
        raise SystemExit(RemoteError.exit_code)


def format_health(health: HealthReport, lease: str) -> Page:
    """Format each finding with its advice, whose commands name ``lease``."""
    rows = [
        (_(VERDICT_TITLES[found.verdict.value]), _(CHECK_TITLES.get(found.check, found.check)), found.text)
        for found in health.findings
    ]
    lines = format_table((_("verdict"), _("item"), _("details")), rows).split("\n")
    shown: list[str | Line] = [*lines[:2]]
    for line, finding in zip(lines[2:], health.findings, strict=True):
        shown.append(Line(line, _VERDICT_COLOURS[finding.verdict.value]))
        if finding.advice:
            shown.append(f"    {finding.advice.replace(' LEASE', f' {lease}')}")
    return shown

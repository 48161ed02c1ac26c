"""``receipts costs reconcile``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids, provider_names, trip_ids
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.domain.receipt import Receipt
    from gpurent.workflow.reports.costs import Costs, Story
    from gpurent.workflow.reports.reconcile import Finding
    from gpurent.workflow.trips.operations import Service

_DIFFERENT = 5
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [*lease_ids(ctx, param, incomplete), *trip_ids(ctx, param, incomplete)]


@click.command("receipts")
@click.argument("name", metavar="[LEASE|TRIP]", required=False, shell_complete=_names)
@json_option
@click.pass_obj
def receipts_command(app: App, name: str | None) -> None:
    """Show what a lease or a trip cost, by the ledger and the shop's own books; without a name, everything."""
    from gpurent.cli.views.render import receipt_text
    from gpurent.workflow.reports.receipts import receipts

    async def look(service: Service) -> list[Receipt]:
        return await receipts(service, name or "")

    found = app.run(look)
    data = [{"receipt": receipt, "totals": receipt.totals()} for receipt in found]
    nameless = _("{provider}, for no lease")
    blocks = [
        f"{receipt.lease or nameless.format(provider=receipt.provider)}\n{receipt_text(receipt)}"
        for receipt in found
    ]
    app.show(data, "\n\n".join(blocks) or _("Nothing was ever rented."))


def _utc(given: datetime | None) -> datetime | None:
    return given.replace(tzinfo=UTC) if given is not None else None


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8")
    except OSError as error:
        raise UsageError(_("{file} cannot be written: {why}").format(file=path, why=error.strerror)) from None


@click.command("costs")
@click.option("--by", type=click.Choice(("day", "provider", "gpu", "trip")), default="day", show_default=True)
@click.option("--in", "code", metavar="CURRENCY", default="", help=_("Convert by each entry's own rate."))
@click.option("--since", type=_DAY, help=_("From this day on (UTC)."))
@click.option("--until", type=_DAY, help=_("Before this day (UTC)."))
@click.option("--html", type=click.Path(path_type=Path), help=_("Write a page with charts to this file."))
@click.option("--offline", is_flag=True, help=_("From the ledger alone; ask nobody."))
@json_option
@click.pass_obj
def costs_command(
    app: App,
    by: str,
    code: str,
    since: datetime | None,
    until: datetime | None,
    html: Path | None,
    offline: bool,
) -> None:
    """Show what was really spent; deposits and money on hold are not in it."""
    from gpurent.cli.views.charts import costs_text

    async def look(service: Service) -> tuple[Costs, Story, dict[str, str]]:
        from gpurent.workflow.reports.costs import costs, story, up_to_date

        desk = service.desk
        problems = {} if offline else await up_to_date(desk)
        entries = desk.books.ledger.entries(since=_utc(since), until=_utc(until))
        found = costs(entries, by, code.upper())
        leases = desk.journal.leases()
        told = story(
            found, leases, desk.clock.now(), {lease.id: service.idle_of(lease.id) for lease in leases}
        )
        return found, told, problems

    found, told, problems = app.run(look)
    if html is not None:
        from gpurent.cli.views.costs import page

        _write(html, page(found, told))
    lines = [costs_text(found), *([_("Written: {file}").format(file=html)] if html else [])]
    lines += [
        _("{name} may lack its last charges: {reason}").format(name=name, reason=reason)
        for name, reason in problems.items()
    ]
    data = {"costs": found, "leases": told.stretches, "idle": told.idle, "behind": problems}
    app.show(data, "\n".join(lines))


@click.command("reconcile")
@click.argument("provider", required=False, shell_complete=provider_names)
@click.option("--enter", "entering", is_flag=True, help=_("Enter what is missing here, as new entries."))
@json_option
@click.pass_obj
def reconcile_command(app: App, provider: str | None, entering: bool) -> None:
    """Compare the ledger with the books of PROVIDER, or of all; leaves with 5 when something does not agree."""
    from gpurent.cli.views.charts import findings_text

    async def look(service: Service) -> tuple[list[Finding], int]:
        from gpurent.workflow.reports.reconcile import enter, reconcile

        desk = service.desk
        if provider:
            desk.provider(provider)
        names = [provider] if provider else desk.books.providers()
        found = [finding for name in names for finding in await reconcile(desk, name)]
        if not (entering and enter(desk, found)):
            return found, 0
        again = [finding for name in names for finding in await reconcile(desk, name)]
        return again, sum(len(finding.entries) for finding in found)

    found, entered = app.run(look)
    data = {"findings": found, "entered": entered, "agrees": all(finding.fine for finding in found)}
    app.show(data, lambda: findings_text(found, entered))
    if not data["agrees"]:
        raise SystemExit(_DIFFERENT)

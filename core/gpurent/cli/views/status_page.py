"""The page of `gpurent status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpurent.cli.output import Line, Page
from gpurent.cli.views.lease_list import LeaseList, format_leases
from gpurent.domain.money_text import format_hourly_price, format_rounded_money
from gpurent.locale import _, ngettext
from gpurent.locale.durations import format_duration

if TYPE_CHECKING:
    from gpurent.domain.trip import TripRecord
    from gpurent.workflow.timing.overall_status import OverallStatus

MAX_COMMAND_LENGTH = 40


def format_status(found: OverallStatus, leases: LeaseList) -> Page:
    """Format the leases as `gpurent ls` does, with the guard; then money, trips and what to type."""
    lines: list[str | Line] = [*format_leases(leases), ""]
    if not leases.leases:
        lines = [*lines[:-1], leases.format_guard(), ""]
    lines += _iter_money(found)
    lines += [_format_trip(trip) for trip in found.trips]
    lines += [_("See: gpurent trips")] if found.trips else []
    lines.append(_format_search(found))
    return lines


def _iter_money(found: OverallStatus) -> Iterator[str]:
    if found.burn_rates:
        yield _("Costs now: {prices}").format(prices=" + ".join(map(format_hourly_price, found.burn_rates)))
    if found.unpriced:
        text = ngettext(
            "{count} more has no known price.", "{count} more have no known price.", found.unpriced
        )
        yield text.format(count=found.unpriced)
    if found.volumes:
        text = ngettext(
            "{count} volume, in this sum. See: gpurent volume list",
            "{count} volumes, in this sum. See: gpurent volume list",
            len(found.volumes),
        )
        yield text.format(count=len(found.volumes))
    spent = " + ".join(map(format_rounded_money, found.spent)) or "0"
    text = _("Spent in {month}: {spent}")
    if found.budget:
        text = _("Spent in {month}: {spent}; the budget is {budget}")
    yield text.format(month=f"{found.month:%Y-%m}", spent=spent, budget=found.budget)
    for balance in found.balances:
        yield _("Balance at {name}: {money}, as seen {span} ago").format(
            name=balance.billing,
            money=format_rounded_money(balance.money),
            span=format_duration(found.now - balance.at),
        )


def _format_trip(trip: TripRecord) -> Line:
    command = " ".join(trip.spec.job.command)[:MAX_COMMAND_LENGTH] or trip.kind
    text = _("Trip in progress: {trip} ({command})")
    return Line(text.format(trip=trip.id, command=command))


def _format_search(found: OverallStatus) -> str:
    if found.searched_at is None:
        return _("Machines unknown here: never searched for. Search: gpurent orphans")
    return _("Machines unknown here: searched for {span} ago. Again: gpurent orphans").format(
        span=format_duration(found.now - found.searched_at)
    )


def status_json(found: OverallStatus, leases: LeaseList) -> dict[str, Any]:
    return {
        "leases": [leases.to_json(lease) for lease in leases.leases],
        "volumes": [
            {"id": volume.id, "name": volume.name, "provider": volume.provider, "price": volume.price}
            for volume in found.volumes
        ],
        "burn_rates": list(found.burn_rates),
        "unpriced": found.unpriced,
        "month": found.month,
        "spent": list(found.spent),
        "budget": found.budget or None,
        "balances": [
            {"billing": balance.billing, "balance": balance.money, "at": balance.at}
            for balance in found.balances
        ],
        "trips": [
            {
                "id": trip.id,
                "kind": trip.kind,
                "lease": trip.lease,
                "started_at": trip.started_at,
                "command": list(trip.spec.job.command),
            }
            for trip in found.trips
        ],
        "guard": leases.guard.to_json(),
        "searched_at": found.searched_at,
        "now": found.now,
    }

"""The table of `gpurent ls`, narrow enough for 80 columns; ``--wide`` has the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gpurent.cli.json_output import to_json_value
from gpurent.cli.output import Line, Page
from gpurent.cli.views.guard_status import GuardStatus, format_guard
from gpurent.cli.views.render import LeaseTimeTable, format_moment
from gpurent.cli.views.table import layout_table
from gpurent.domain.money_text import format_hourly_price, format_rounded_money
from gpurent.domain.time_left import TimeKind
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.workflow.timing.time_left import format_time_left

if TYPE_CHECKING:
    from datetime import datetime

    from gpurent.domain.lease import Lease
    from gpurent.domain.lease_outlook import LeaseOutlook


@frozen(kw_only=True)
class LeaseList:
    """Leases with their time left and their outlooks, by id; and when the guard last ran, at the time ``now``."""

    leases: Sequence[Lease]
    times: LeaseTimeTable
    outlooks: Mapping[str, LeaseOutlook]
    guard: GuardStatus
    now: datetime

    def format_guard(self) -> str:
        return format_guard(self.guard, self.now)

    def to_json(self, lease: Lease) -> dict[str, Any]:
        """Return a lease for ``--json``: amounts are exact, durations in seconds."""
        outlook = self.outlooks[lease.id]
        return {
            **self.times.lease_json(lease),
            "spent": to_json_value(outlook.spent),
            "spent_is_estimated": outlook.is_estimated,
            "ends_first": to_json_value(outlook.end),
        }


def format_leases(found: LeaseList, *, wide: bool = False) -> Page:
    """Format a table; rows below a warning threshold are coloured."""
    if not found.leases:
        return [_("No machine is costing money now.")]
    head = [_("lease"), _("state"), "GPU", _("price"), _("spent"), _("ends in"), _("ends by")]
    if wide:
        head += [_("ends"), _("time left"), _("SSH command"), _("order"), _("started"), _("note")]
    rows = [_make_row(lease, found, wide=wide) for lease in found.leases]
    first, *others = layout_table(head, rows, right=(3, 4), fit=not wide)
    shaded = [
        Line(line, found.times.row_colour(lease))
        for lease, lines in zip(found.leases, others, strict=True)
        for line in lines
    ]
    notes = [] if wide else list(_iter_notes(found))
    is_alive = any(not lease.is_over for lease in found.leases)
    guard = [found.format_guard()] if is_alive else []
    return [*first, *shaded, *notes, *_release_reminders(found.leases), *guard]


def _make_row(lease: Lease, found: LeaseList, *, wide: bool) -> Sequence[str]:
    outlook, figure = found.outlooks[lease.id], found.times.figures[lease.id]
    price = lease.current_price
    row = [
        lease.id,
        lease.state_title,
        lease.offer.hardware.gpu or "CPU",
        str(price) if wide else format_hourly_price(price),
        _format_spent(outlook, wide=wide),
        format_duration(outlook.end.left) if outlook.end else format_time_left(figure),
        outlook.end.cause.title if outlook.end else "-",
    ]
    if wide:
        row += [
            format_moment(outlook.end.at if outlook.end else None),
            format_time_left(figure),
            str(lease.endpoint or "-"),
            lease.ref or "-",
            format_moment(lease.started_at),
            lease.note or figure.note or "-",
        ]
    return row


def _format_spent(outlook: LeaseOutlook, *, wide: bool) -> str:
    amounts = [str(money) if wide else format_rounded_money(money) for money in outlook.spent]
    mark = "~" if outlook.is_estimated else ""
    return mark + " + ".join(amounts) if amounts else "-"


def _iter_notes(found: LeaseList) -> Iterator[Line]:
    """Yield why something is not as it should be, or is not known, with the lease that it is about."""
    for lease in found.leases:
        figure = found.times.figures[lease.id]
        note = lease.note or (figure.note if figure.kind is TimeKind.UNKNOWN else "")
        if note:
            yield Line(f"{lease.id}: {note}")


def _release_reminders(leases: Sequence[Lease]) -> list[Line]:
    """Return reminders for leases that only the user can end: they cost money until the user confirms their end."""
    text = _("{lease} costs money until you end it. Then run: gpurent release {lease} --confirmed")
    return [
        Line(text.format(lease=lease.id), "yellow")
        for lease in leases
        if lease.declared is not None and lease.state.value == "releasing"
    ]

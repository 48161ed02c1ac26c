"""Text for leases, their time left, receipts, machines and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gpurent.cli.json_output import to_json_value
from gpurent.cli.views.table import format_table
from gpurent.errors import GpurentError
from gpurent.locale import N_, _, join_list
from gpurent.locale.durations import format_duration
from gpurent.roles.entries import LeaseEntry, PluginRegistry
from gpurent.workflow.timing.time_left import (
    TimeWarnings,
    describe_time_left,
    format_time_left,
    passed_thresholds,
)

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.domain.machine_facts import DiskSpace
    from gpurent.domain.receipt import Receipt
    from gpurent.domain.time_left import TimeLeft
    from gpurent.workflow.timing.machine_timer import MachineTimers


@frozen(kw_only=True, eq=False)
class LeaseTimeTable:
    """By lease ID: the time left, the thresholds it has passed, and when the timer in the machine shuts it down."""

    figures: Mapping[str, TimeLeft]
    passed_thresholds: Mapping[str, tuple[timedelta, ...]]
    timers: Mapping[str, datetime | None]
    shortest_thresholds: Mapping[str, timedelta | None]

    @classmethod
    async def from_figures(
        cls,
        leases: Sequence[Lease],
        figures: Mapping[str, TimeLeft],
        time_warnings: TimeWarnings,
        timers: MachineTimers,
    ) -> LeaseTimeTable:
        """Make the table from ``figures``, by lease ID, fetched now or as last seen."""
        limits = {lease.id: time_warnings.get_thresholds(lease.provider) for lease in leases}
        return cls(
            figures=figures,
            passed_thresholds={
                name: passed_thresholds(figures[name].left, found) for name, found in limits.items()
            },
            timers={lease.id: await timers.find_deadline(lease) for lease in leases},
            shortest_thresholds={name: min(found, default=None) for name, found in limits.items()},
        )

    def row_colour(self, lease: Lease) -> str | None:
        """Return red below the shortest threshold, yellow below another one, else None."""
        passed = self.passed_thresholds[lease.id]
        if not passed:
            return None
        return "red" if self.shortest_thresholds[lease.id] in passed else "yellow"

    def lease_json(self, lease: Lease) -> dict[str, Any]:
        figure, timer = self.figure_json(lease.id), to_json_value(self.timers[lease.id])
        return {**to_json_value(lease), "time_left": figure, "timer": timer}

    def figure_json(self, lease_id: str) -> dict[str, Any]:
        """Return the time left for ``--json``; durations in seconds, ``text`` in the user's language."""
        figure = self.figures[lease_id]
        return {
            **to_json_value(figure),
            "text": format_time_left(figure),
            "low": bool(self.passed_thresholds[lease_id]),
        }

    def format_sentence(self, lease_id: str) -> str:
        return describe_time_left(self.figures[lease_id])


CHARGE_TITLES = {
    "usage": N_("usage"),
    "renewal": N_("renewal"),
    "fee": N_("fee"),
    "deposit": N_("deposit"),
    "refund": N_("refund"),
    "deposit-refund": N_("deposit returned"),
    "top-up": N_("top-up"),
    "hold": N_("on hold"),
    "transfer": N_("transfer"),
}
IDLE_TITLES = {
    "upload-to-job": N_("between upload and job"),
    "job-to-release": N_("between job and release"),
}


def format_moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "-"


def format_lease(lease: Lease, times: LeaseTimeTable) -> str:
    figure = times.figures[lease.id]
    rows = [
        (_("lease"), lease.id),
        (_("provider"), lease.provider),
        (_("order"), lease.ref or "-"),
        (_("state"), lease.state_title),
        (_("note"), lease.note or "-"),
        (_("machine"), lease.offer.key),
        ("GPU", lease.offer.hardware.gpu or "CPU"),
        (_("price"), str(lease.offer.tariff.price)),
        (_("SSH command"), str(lease.endpoint or "-")),
        (_("started"), format_moment(lease.started_at)),
        (_("files deleted at") if figure.kind.value == "kept" else _("ends"), format_moment(figure.until)),
        (
            _("time left"),
            f"{format_time_left(figure)} ({figure.note})" if figure.note else format_time_left(figure),
        ),
        (_("burn rate"), str(figure.burn_rate or "-")),
        (_("machine timer"), format_moment(times.timers[lease.id])),
        (_("provider's own timer"), format_moment(lease.stops_at)),
    ]
    return format_table((_("item"), _("value")), rows)


def format_receipt(receipt: Receipt) -> str:
    """Format every charge, the totals by currency, and the paid idle time."""
    head = (_("time"), _("item"), _("amount"), _("exchange rate"), _("note"))
    rows = [
        (
            format_moment(charge.at),
            _(CHARGE_TITLES[charge.kind.value]),
            str(charge.money),
            f"{charge.rate.value} {charge.rate.quote.code}" if charge.rate else "-",
            charge.note[:40],
        )
        for charge in receipt.charges
    ]
    lines = [format_table(head, rows, right=(2,)) if rows else _("Nothing was charged.")]
    lines += [
        _("Paid {paid}, refunded {refunded}, net cost {spent}; deposits held: {held}").format(
            paid=total.paid, refunded=total.refunded, spent=total.spent, held=total.held
        )
        for total in receipt.totals()
        if receipt.lease or total.paid.amount or total.refunded.amount or total.held.amount
    ]
    lines += [
        _("Idle time that was paid for, {what}: {span}").format(
            what=_(IDLE_TITLES.get(name, name)), span=format_duration(idle)
        )
        for name, idle in receipt.idle
    ]
    if receipt.refund is not None:
        text = (
            _("The provider had said that it gives back {quoted}; so far, {returned} came back.")
            if receipt.refund.differs
            else _("{returned} came back, as the provider had said ({quoted}).")
        )
        lines.append(text.format(quoted=receipt.refund.quoted, returned=receipt.refund.returned))
    lines += [_("Paid to {payee}").format(payee=payee) for payee in receipt.payees]
    if receipt.declared:
        lines.append(
            _("Calculated from the declared price, {price}; the provider's own bill may differ.").format(
                price=receipt.declared
            )
        )
    if receipt.note:
        lines.append(
            _("From gpurent's ledger only; the provider's statement could not be read: {reason}").format(
                reason=receipt.note
            )
        )
    return "\n".join(lines)


GIB = 1 << 30


def format_machine(lease: Lease, registry: PluginRegistry) -> str:
    """Format a table of what was found on the machine; if it was not examined yet, a hint while it is running."""
    found = lease.machine_facts
    if found is None:
        hint = _("Not examined yet. Examine it: gpurent show {lease} --probe").format(lease=lease.id)
        return hint if lease.state.value == "ready" else ""
    sudo = {
        "root": _("not needed (the user is root)"),
        "passwordless": _("yes, without a password"),
        "password": _("yes, with a password"),
    }.get(found.sudo, _("none"))
    cards = [
        f"{card.name}, {card.memory / 1024:.1f} GiB" if card.memory else card.name for card in found.gpus
    ]
    rows = [
        (_("user"), found.user or "-"),
        ("sudo", sudo),
        (_("system"), found.system or "-"),
        ("Python", join_list(f"{python.name} {python.version}" for python in found.pythons) or "-"),
        ("CUDA", found.cuda or "-"),
        (_("driver"), found.driver or "-"),
        *(("GPU", card) for card in cards or [_("none found")]),
        (_("CPU cores"), str(found.cpus or "-")),
        (_("memory"), f"{found.memory / 1024:.1f} GiB" if found.memory else "-"),
        (_("disk"), _format_space(found.home)),
        (_("data folder"), _format_space(found.data)),
        (_("package manager"), found.package_manager or "-"),
        (_("files kept"), _format_retention(lease, registry)),
        (_("examined at"), f"{found.at:%Y-%m-%d %H:%M} UTC"),
    ]
    return format_table((_("on the machine"), _("value")), rows)


def _format_space(space: DiskSpace | None) -> str:
    if space is None:
        return "-"
    return _("{path}: {free:.1f} of {total:.1f} GiB free").format(
        path=space.path, free=space.free / GIB, total=space.total / GIB
    )


def _format_retention(lease: Lease, registry: PluginRegistry) -> str:
    entry = registry.find_entry(LeaseEntry, lease.provider)
    kept = entry.profile.files_kept_for if entry is not None else None
    if kept is None:
        return _("unknown: download your results before the lease ends")
    return _("{span} after the end, according to the provider").format(span=format_duration(kept))


_SPENT_TEXTS = {
    "no": N_("Nothing was charged."),
    "yes": N_("Money was spent; see: gpurent receipts"),
    "unknown": N_("Money may have been spent; check the balance: gpurent balance"),
}


def format_spent(error: GpurentError) -> str:
    """Say what was spent; empty if the error says nothing about money."""
    if error.spent is None:
        return ""
    return _(_SPENT_TEXTS[error.spent.value])

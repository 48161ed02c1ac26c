"""What `gpurent orphans` found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import asdict

from gpurent.cli.output import Line, Page, join_blocks
from gpurent.cli.views.render import format_moment
from gpurent.cli.views.table import format_table
from gpurent.domain.orphans import Orphan, OrphanKind, OrphanReport
from gpurent.locale import N_, _, join_list, ngettext

_KIND_TITLES = {
    OrphanKind.LOST_LEASE: N_("rented from here, but not in the journal"),
    OrphanKind.FORMER_LEASE: N_("rented before the restore"),
    OrphanKind.UNKNOWN_MACHINE: N_("not known here"),
    OrphanKind.REVIVED_LEASE: N_("was taken for ended, but runs"),
    OrphanKind.UNCOUNTED_PAYMENT: N_("paid, but not counted"),
    OrphanKind.UNEXPLAINED_CHARGE: N_("belongs to no lease of this computer"),
    OrphanKind.LOST_VOLUME: N_("created from here, but not in the journal"),
    OrphanKind.UNKNOWN_VOLUME: N_("not known here"),
}
# Of charges that may be another computer's, only the newest are shown.
MAX_CHARGES = 5


def report_json(report: OrphanReport) -> dict[str, Any]:
    return {
        "installation": report.installation,
        "asked": report.asked,
        "orphans": [
            {**asdict(orphan, recurse=False), "endpoint": str(orphan.endpoint) if orphan.endpoint else ""}
            for orphan in report.orphans
        ],
    }


def format_report(report: OrphanReport) -> Page:
    """Return everything that was found; a provider that did not answer is never called free of orphans."""
    orphans = report.orphans
    parts = [
        _format_machines([orphan for orphan in orphans if orphan.is_machine]),
        _format_volumes([orphan for orphan in orphans if orphan.is_volume]),
        _format_money(orphans),
        *([Line(format_orphan(orphan), "yellow")] for orphan in orphans if orphan.kind is OrphanKind.UNKNOWN),
        _format_clear(report),
    ]
    return join_blocks(parts)


def _format_clear(report: OrphanReport) -> Page:
    if not report.asked:
        return [_("No provider was asked: you are not logged in to any, and have no leases.")]
    doubtful = {orphan.provider for orphan in report.orphans}
    clear = [provider for provider in report.asked if provider not in doubtful]
    if not clear:
        return []
    return [_("{providers}: every machine and payment is known here.").format(providers=join_list(clear))]


def _format_machines(machines: Sequence[Orphan]) -> Page:
    if not machines:
        return []
    rows = [
        (
            orphan.ref or "-",
            orphan.provider,
            orphan.lease or "-",
            orphan.machine,
            str(orphan.price or "-"),
            format_moment(orphan.since),
            _(_KIND_TITLES[orphan.kind]),
        )
        for orphan in machines
    ]
    head = (_("ref"), _("provider"), _("lease"), _("machine"), _("price"), _("since"), _("state"))
    return [format_table(head, rows), *(line for orphan in machines for line in _format_advice(orphan))]


def format_orphan(orphan: Orphan) -> str:
    """Return one line about a finding, for a warning."""
    if orphan.kind is OrphanKind.UNKNOWN:
        return _("{provider}: unknown: {reason}").format(
            provider=orphan.lease or orphan.provider, reason=orphan.reason
        )
    what = f"{orphan.provider} {orphan.ref or orphan.lease}"
    return f"{what}: {_(_KIND_TITLES[orphan.kind])}"


def _format_advice(orphan: Orphan) -> Page:
    """Return what to do about a machine."""
    name = orphan.ref or orphan.lease
    reason = [f"({orphan.reason})"] if orphan.reason else []
    if orphan.kind is OrphanKind.REVIVED_LEASE:
        text = _("{lease} is a lease again. Release it: gpurent release {lease}")
        return [text.format(lease=orphan.lease), *reason]
    if orphan.kind is OrphanKind.FORMER_LEASE:
        text = _(
            "{name} may cost money, and nothing is done with it until you name it. If no other gpurent works on it:"
            " gpurent orphans --adopt {name}\n"
            "Or release it: gpurent release {lease}"
        )
        lines = text.format(name=name, lease=orphan.lease).split("\n")
        return [*(Line(line, "yellow") for line in lines), *reason]
    if orphan.is_ours:
        text = _(
            "{name} may cost money. Make a lease of it: gpurent orphans --adopt {name}\n"
            "Or release it: gpurent orphans --release {name}"
        )
        return [*(Line(line, "yellow") for line in text.format(name=name).split("\n")), *reason]
    text = _(
        "{name} is not known here; it may belong to another computer on this account. Only if it is yours, make a lease"
        " of it: gpurent orphans --adopt {name}\n"
        "Or release it: gpurent orphans --release {name}"
    )
    return [text.format(name=name), *reason]


def _format_volumes(volumes: Sequence[Orphan]) -> Page:
    if not volumes:
        return []
    rows = [
        (
            orphan.ref,
            orphan.provider,
            orphan.machine,
            str(orphan.price or "-"),
            format_moment(orphan.since),
            _(_KIND_TITLES[orphan.kind]),
        )
        for orphan in volumes
    ]
    head = (_("ref"), _("provider"), _("volume"), _("price"), _("since"), _("state"))
    text = _("Make it one of yours: gpurent volume adopt {ref}\nOr delete it: gpurent volume delete {ref}")
    advice = [line for orphan in volumes for line in text.format(ref=orphan.ref).split("\n")]
    return [format_table(head, rows), *advice]


def _format_money(orphans: Sequence[Orphan]) -> Page:
    paid = [orphan for orphan in orphans if orphan.kind is OrphanKind.UNCOUNTED_PAYMENT]
    charges = [orphan for orphan in orphans if orphan.kind is OrphanKind.UNEXPLAINED_CHARGE]
    shown = [*paid, *charges[-MAX_CHARGES:]]
    if not shown:
        return []
    rows = [
        (
            format_moment(orphan.since),
            str(orphan.money),
            orphan.provider,
            orphan.lease or "-",
            orphan.ref,
            _(_KIND_TITLES[orphan.kind]),
        )
        for orphan in shown
    ]
    head = (_("time"), _("amount"), _("provider"), _("lease"), _("ref"), _("state"))
    lines = [format_table(head, rows)]
    if len(charges) > MAX_CHARGES:
        more = len(charges) - MAX_CHARGES
        lines.append(ngettext("{count} older charge", "{count} older charges", more).format(count=more))
    lines += [
        _("{ref}: {reason}. Ask {provider}, with this reference.").format(
            ref=orphan.ref, reason=orphan.reason, provider=orphan.provider
        )
        for orphan in paid
    ]
    return lines

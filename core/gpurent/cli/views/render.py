"""Model values for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from click import style

from gpurent.cli.views.table import table
from gpurent.locale import N_, _
from gpurent.locale.spans import span_text
from gpurent.workflow.timing.time_text import words

if TYPE_CHECKING:
    from gpurent.cli.views.time_left import Times
    from gpurent.domain.lease import Lease
    from gpurent.domain.receipt import Receipt

STATES = {
    "requested": N_("requested"),
    "payable": N_("to be paid"),
    "provisioning": N_("starting"),
    "ready": N_("running"),
    "releasing": N_("being given back"),
    "released": N_("given back"),
    "expired": N_("expired"),
    "failed": N_("failed"),
    "cancelled": N_("cancelled"),
    "kept": N_("shut, files kept"),
    "gone": N_("gone"),
}
KINDS = {
    "use": N_("use"),
    "renewal": N_("renewal"),
    "fee": N_("fee"),
    "deposit": N_("deposit"),
    "refund": N_("refund"),
    "deposit-back": N_("deposit back"),
    "top-up": N_("top-up"),
    "hold": N_("on hold"),
    "transfer": N_("transfer"),
}
SPANS = {"upload-to-job": N_("end of upload to start of job"), "job-to-release": N_("end of job to release")}


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "-"


def leases_text(leases: Sequence[Lease], times: Times) -> str:
    """Lines below a warning threshold are coloured."""
    if not leases:
        return _("No machine costs you anything now.")
    head = (_("lease"), _("state"), "GPU", _("access"), _("time left"), _("note"))
    rows = [
        (
            lease.id,
            _(STATES[lease.state.value]),
            lease.offer.hardware.gpu or "CPU",
            str(lease.endpoint or "-"),
            words(times.figures[lease.id]),
            (lease.note or times.figures[lease.id].note)[:60],
        )
        for lease in leases
    ]
    top, rule, *lines = table(head, rows).split("\n")
    shaded = (style(line, fg=times.shade(lease)) for line, lease in zip(lines, leases, strict=True))
    return "\n".join([top, rule, *shaded, *_reminders(leases)])


def _reminders(leases: Sequence[Lease]) -> list[str]:
    """What only the user can end burns until the user says that it has ended."""
    text = _("{lease} costs money until you end it. Then say: gpurent release {lease} --confirmed")
    return [
        style(text.format(lease=lease.id), fg="yellow")
        for lease in leases
        if lease.declared is not None and lease.state.value == "releasing"
    ]


def lease_text(lease: Lease, times: Times) -> str:
    figure = times.figures[lease.id]
    rows = [
        (_("lease"), lease.id),
        (_("provider"), lease.provider),
        (_("order"), lease.ref or "-"),
        (_("state"), _(STATES[lease.state.value])),
        (_("note"), lease.note or "-"),
        (_("machine"), lease.offer.key),
        ("GPU", lease.offer.hardware.gpu or "CPU"),
        (_("price"), str(lease.offer.tariff.price)),
        (_("access"), str(lease.endpoint or "-")),
        (_("since"), moment(lease.started_at)),
        (_("until"), moment(figure.until)),
        (_("time left"), f"{words(figure)} ({figure.note})" if figure.note else words(figure)),
        (_("burn rate"), str(figure.burn or "-")),
        (_("timer in the machine"), moment(times.timers[lease.id])),
    ]
    return table((_("what"), _("value")), rows)


def receipt_text(receipt: Receipt) -> str:
    """Every movement, the totals in each currency, and the time that was paid but idle."""
    head = (_("time"), _("what"), _("amount"), _("rate"), _("note"))
    rows = [
        (
            moment(charge.at),
            _(KINDS[charge.kind.value]),
            str(charge.money),
            f"{charge.rate.value} {charge.rate.quote.code}" if charge.rate else "-",
            charge.note[:40],
        )
        for charge in receipt.charges
    ]
    lines = [table(head, rows, right=(2,)) if rows else _("Nothing was charged.")]
    lines += [
        _("Paid {paid}, refunded {refunded}, really spent {spent}; deposits held: {held}").format(
            paid=total.paid, refunded=total.refunded, spent=total.spent, held=total.held
        )
        for total in receipt.totals()
    ]
    lines += [
        _("Paid but idle, {what}: {span}").format(what=_(SPANS.get(name, name)), span=span_text(idle))
        for name, idle in receipt.idle
    ]
    if receipt.declared:
        lines.append(
            _("Reckoned by the price that was declared, {price}; the provider's own bill may differ.").format(
                price=receipt.declared
            )
        )
    if receipt.note:
        lines.append(
            _("By gpurent's own ledger; the shop's books could not be read: {reason}").format(
                reason=receipt.note
            )
        )
    return "\n".join(lines)

"""Spending and differences for a terminal: bars that line up with Chinese text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gpurent.cli.views.render import CHARGE_TITLES, format_moment
from gpurent.cli.views.table import format_table
from gpurent.locale import N_, _

if TYPE_CHECKING:
    from gpurent.domain.money import Money, Rate
    from gpurent.workflow.reports.costs import Costs
    from gpurent.workflow.reports.reconcile import LedgerFinding

BAR_WIDTH = 30
_BAR_CHARACTERS = " ▏▎▍▌▋▊▉"
GROUP_TITLES = {"day": N_("day"), "provider": N_("provider"), "gpu": "GPU", "trip": N_("trip")}
FINDING_TITLES = {
    "equal": N_("agrees"),
    "grown": N_("the meter ran on"),
    "missing-here": N_("missing in the ledger"),
    "missing-there": N_("not in the provider's books"),
    "amount": N_("another amount there"),
    "twice": N_("listed there twice"),
    "balance": N_("the lines agree, the balance does not"),
    "unknown": N_("unknown, the books there could not be read"),
}


def format_bar(amount: int, most: int, width: int = BAR_WIDTH) -> str:
    """``amount`` of ``most`` as a bar, to an eighth of a column."""
    if amount <= 0 or most <= 0:
        return ""
    full, rest = divmod(amount * width * 8 // most, 8)
    return "█" * full + (_BAR_CHARACTERS[rest] if rest else "" if full else _BAR_CHARACTERS[1])


def format_costs(found: Costs) -> str:
    """A bar for each row, longest first within its own currency's scale; totals, rates, what could not be converted."""
    if not found.movements:
        return _("Nothing was spent.")
    most: dict[str, int] = {}
    for row in found.rows:
        code = row.money.currency.code
        most[code] = max(most.get(code, 0), row.money.amount)
    rows = [
        (row.key, str(row.money), format_bar(row.money.amount, most[row.money.currency.code]))
        for row in found.rows
    ]
    head = (_(GROUP_TITLES[found.by]), _("spent"), "")
    lines = [
        format_table(head, rows, right=(1,)),
        _("In all: {total}").format(total=format_sum(found.totals)),
    ]
    lines += format_used_rates(found.rates)
    if found.lacking:
        lines.append(format_unconverted(found.lacking))
    return "\n".join(lines)


def format_sum(every: Sequence[Money]) -> str:
    return " + ".join(str(money) for money in every) or "0"


def format_used_rates(rates: Sequence[Rate]) -> list[str]:
    """One line for each value of a source, with the first and the last time that it was used."""
    times: dict[tuple[str, str, str, str], list[datetime]] = {}
    for rate in rates:
        times.setdefault((rate.base.code, f"{rate.value:f}", rate.quote.code, rate.source), []).append(
            rate.at
        )
    return [
        _("Rate: 1 {base} = {value} {quote} ({source}, {at})").format(
            base=base,
            value=value,
            quote=quote,
            source=source,
            at=" - ".join(sorted({format_moment(min(found)), format_moment(max(found))})),
        )
        for (base, value, quote, source), found in times.items()
    ]


def format_unconverted(lacking: Sequence[Money]) -> str:
    return _("Not converted, since no rate for it was stored: {money}").format(money=format_sum(lacking))


def format_findings(found: Sequence[LedgerFinding], entered: int) -> str:
    """What differs, one line each; what agrees is only counted."""
    fine = [finding for finding in found if finding.is_consistent]
    rows = [_finding_row(finding) for finding in found if finding not in fine]
    head = (_("provider"), _("lease"), _("what"), _("here"), _("there"), _("finding"))
    lines = [format_table(head, rows, right=(3, 4))] if rows else []
    if entered:
        lines.append(_("New entries: {count}").format(count=entered))
    lines.append(
        _("Lines that agree: {count}").format(count=len(fine))
        + ("" if rows else ". " + _("The ledger is equal to the providers' books."))
    )
    if any(finding.entries for finding in found if not finding.is_consistent):
        lines.append(_("Enter what is missing here: gpurent reconcile --enter"))
    return "\n".join(lines)


def _finding_row(finding: LedgerFinding) -> tuple[str, ...]:
    what = _(FINDING_TITLES[finding.what.value])
    return (
        finding.provider,
        finding.lease or "-",
        _(CHARGE_TITLES[finding.kind.value]) if finding.kind else "-",
        str(finding.here or "-"),
        str(finding.there or "-"),
        f"{what}: {finding.reason}" if finding.reason else f"{what} ({finding.ref[:16]})",
    )

"""Charts of spending and tables of ledger differences for a terminal; they also line up with Chinese text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gpurent.cli.views.render import CHARGE_TITLES, format_moment
from gpurent.cli.views.table import format_table
from gpurent.domain.money_text import format_rounded_money
from gpurent.locale import N_, _, join_list

if TYPE_CHECKING:
    from gpurent.domain.money import Currency, Money, Rate
    from gpurent.workflow.reports.costs import Costs
    from gpurent.workflow.reports.ledger_findings import LedgerFinding

BAR_WIDTH = 30
_BAR_CHARACTERS = " ▏▎▍▌▋▊▉"
GROUP_TITLES = {"day": N_("day"), "provider": N_("provider"), "gpu": "GPU", "trip": N_("trip")}
FINDING_TITLES = {
    "equal": N_("matches"),
    "grown": N_("charge has grown"),
    "missing-in-ledger": N_("missing from the ledger"),
    "missing-in-statement": N_("not in the statement"),
    "amount-differs": N_("amounts differ"),
    "duplicate": N_("duplicate in the statement"),
    "more-than-billed": N_("more was charged than billed"),
    "still-running": N_("over here, but still running at the provider"),
    "balance-differs": N_("entries match, but the balance does not"),
    "damaged": N_("the ledger is damaged"),
    "rewritten": N_("the ledger is not the one used last"),
    "unknown": N_("unknown, the statement could not be read"),
}


def format_bar(amount: int, most: int, width: int = BAR_WIDTH) -> str:
    """Draw ``amount`` of ``most`` as a bar, to an eighth of a column."""
    if amount <= 0 or most <= 0:
        return ""
    full, rest = divmod(amount * width * 8 // most, 8)
    return "█" * full + (_BAR_CHARACTERS[rest] if rest else "" if full else _BAR_CHARACTERS[1])


def format_costs(found: Costs, *, wide: bool = False) -> str:
    """Format a bar for each row, scaled within its own currency, then totals, exchange rates, unconverted amounts.

    The amounts of rows are rounded in a currency of many decimals, unless ``wide``; totals never are.
    """
    if not found.movements:
        return _("Nothing was spent.")
    most: dict[Currency, int] = {}
    for row in found.rows:
        most[row.money.currency] = max(most.get(row.money.currency, 0), row.money.amount)
    rows = [
        (
            row.key,
            format_sum(found, [row.money], is_rounded=not wide),
            format_bar(row.money.amount, most[row.money.currency]),
        )
        for row in found.rows
    ]
    head = (_(GROUP_TITLES[found.by]), _("spent"), "")
    lines = [
        format_table(head, rows, right=(1,)),
        _("Total: {total}").format(total=format_sum(found, found.totals)),
    ]
    lines += format_failed_starts(found)
    lines += format_used_rates(found.rates)
    if found.unconverted:
        lines.append(format_unconverted(found))
    return "\n".join(lines)


def format_sum(found: Costs, every: Sequence[Money], *, is_rounded: bool = False) -> str:
    """Format amounts of ``found``; of two currencies with one code, each with the providers that are paid in it."""
    providers: dict[Currency, set[str]] = {}
    for item in found.movements:
        providers.setdefault(item.money.currency, set()).add(item.provider)
    codes = Counter(currency.code for currency in providers)

    def format_one(money: Money) -> str:
        text = format_rounded_money(money) if is_rounded and money.currency.exponent > 2 else str(money)
        if codes[money.currency.code] > 1:
            text = f"{text} ({join_list(sorted(providers[money.currency]))})"
        return text

    return " + ".join(map(format_one, every)) or "0"


def format_failed_starts(found: Costs) -> list[str]:
    """Return one line if something was paid for machines that never answered."""
    if not any(money.amount for money in found.failed_starts):
        return []
    text = _("Of this, for machines that never answered: {money}")
    return [text.format(money=format_sum(found, found.failed_starts))]


def format_used_rates(rates: Sequence[Rate]) -> list[str]:
    """Return one line for each value of a source, with the first and last time of its use."""
    times: dict[tuple[str, str, str, str], list[datetime]] = {}
    for rate in rates:
        times.setdefault((rate.base.code, f"{rate.value:f}", rate.quote.code, rate.source), []).append(
            rate.at
        )
    return [
        _("Exchange rate: 1 {base} = {value} {quote} ({source}, {at})").format(
            base=base,
            value=value,
            quote=quote,
            source=source,
            at=" - ".join(sorted({format_moment(min(found)), format_moment(max(found))})),
        )
        for (base, value, quote, source), found in times.items()
    ]


def format_unconverted(found: Costs) -> str:
    text = _("Not converted, no exchange rate was stored: {money}")
    return text.format(money=format_sum(found, found.unconverted))


def format_findings(
    found: Sequence[LedgerFinding], entered: int, without_statement: Sequence[str] = ()
) -> str:
    """Format one line for each difference; matching entries are only counted.

    ``without_statement``: the accounts that list no movements.
    """
    fine = [finding for finding in found if finding.is_consistent]
    rows = [_finding_row(finding) for finding in found if finding not in fine]
    head = (_("provider"), _("lease"), _("item"), _("ledger"), _("statement"), _("details"))
    lines = [format_table(head, rows, right=(3, 4))] if rows else []
    if entered:
        lines.append(_("New entries: {count}").format(count=entered))
    lines.append(_("Matching entries: {count}").format(count=len(fine)))
    for name in without_statement:
        text = _("{provider} has no statement of the account; only the charges of leases could be compared.")
        lines.append(text.format(provider=name))
    if fine and not rows:
        from_statements = any(finding.provider not in without_statement for finding in fine)
        lines.append(
            _("The ledger matches the providers' statements.")
            if from_statements
            else _("The ledger matches the charges of the leases.")
        )
    elif not found:
        lines.append(_("Nothing could be compared."))
    if any(finding.difference.value == "rewritten" for finding in found):
        lines.append(_("After you restored a backup, accept the ledger as it is: gpurent reconcile --accept"))
    if any(finding.entries for finding in found if not finding.is_consistent):
        lines.append(_("To add the missing entries to the ledger: gpurent reconcile --enter"))
    return "\n".join(lines)


def _finding_row(finding: LedgerFinding) -> tuple[str, ...]:
    what = _(FINDING_TITLES[finding.difference.value])
    return (
        finding.provider,
        finding.lease or "-",
        _(CHARGE_TITLES[finding.kind.value]) if finding.kind else "-",
        str(finding.ledger_amount or "-"),
        str(finding.statement_amount or "-"),
        f"{what}: {finding.reason}"
        if finding.reason
        else f"{what} ({finding.ref[:16]})"
        if finding.ref
        else what,
    )

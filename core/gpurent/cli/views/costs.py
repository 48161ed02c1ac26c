"""Spending as one page that needs nothing else: no script, no network; readable in the dark too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain

from gpurent.cli.views.charts import HEADS, lacking_text, rates_text, together
from gpurent.cli.views.render import SPANS
from gpurent.cli.views.svg import Point, bars, steps, text
from gpurent.domain.money import Currency, Money
from gpurent.locale import _, language
from gpurent.locale.spans import span_text
from gpurent.workflow.reports.costs import Costs, Story, Stretch

_HOUR = timedelta(hours=1)
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --dim: #5a6b7b; --rule: #d5dde5; --bar: #2569b0; --fill: #2569b022; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --dim: #9fb0c0; --rule: #33414e; --bar: #6cb0f5; --fill: #6cb0f533; }
  body { background: #10161c; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 760px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em 1em .2em 0; text-align: left; }
td.money, th.money { text-align: right; font-variant-numeric: tabular-nums; }
tr { border-bottom: 1px solid var(--rule); }
figure { margin: 2em 0; } figcaption { font-weight: 600; } p { color: var(--dim); } svg { width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--dim); } .end { text-anchor: end; }
.line { fill: none; stroke: var(--bar); stroke-width: 2; }
.area { fill: var(--fill); } .bar { fill: var(--bar); } .rule { stroke: var(--rule); }
"""


def page(found: Costs, story: Story) -> str:
    """The whole document; it is well-formed XML as well."""
    title = _("What the GPUs cost")
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p>{text(_('In all: {total}').format(total=together(found.totals)))}</p>",
    ]
    parts += [_over_time(found, money.currency) for money in found.totals]
    parts += [_burn(story.stretches, currency) for currency in _currencies(story.stretches)]
    parts += [_by(found, money.currency) for money in found.totals]
    parts += [_idle(story)] if story.idle else []
    parts += [_table(found)]
    parts += [f"<p>{text(line)}</p>" for line in rates_text(found.rates)]
    parts += [f"<p>{text(lacking_text(found.lacking))}</p>"] if found.lacking else []
    return (
        f'<!DOCTYPE html>\n<html lang="{language()}"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width"/>'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def _over_time(found: Costs, currency: Currency) -> str:
    points, total = [], 0
    for item in found.movements:
        if item.money.currency == currency:
            total += item.money.amount
            points.append(Point(item.at, total))
    points.insert(0, Point(points[0].at, 0))
    until = max(points[-1].at, points[0].at + _HOUR)
    title = _("Spent over time, {currency}").format(currency=currency.code)
    return steps(title, points, until, lambda value: str(Money(value, currency)))


def _currencies(stretches: Iterable[Stretch]) -> list[Currency]:
    return sorted({stretch.money.currency for stretch in stretches}, key=lambda currency: currency.code)


def _burn(stretches: Sequence[Stretch], currency: Currency) -> str:
    """All leases of one moment together: each burns evenly what it cost over its own time."""
    mine = [stretch for stretch in stretches if stretch.money.currency == currency]
    points = [Point(at, _rate_at(mine, at)) for at in sorted({*_edges(mine)})]
    title = _("Burn rate, {currency} an hour").format(currency=currency.code)
    return steps(title, points, points[-1].at, lambda value: str(Money(value, currency)))


def _edges(stretches: Sequence[Stretch]) -> Iterable[datetime]:
    return chain.from_iterable((stretch.since, stretch.until) for stretch in stretches)


def _rate_at(stretches: Sequence[Stretch], at: datetime) -> int:
    """Minor units an hour."""
    return sum(
        stretch.money.amount * (_HOUR // timedelta(microseconds=1))
        // ((stretch.until - stretch.since) // timedelta(microseconds=1))
        for stretch in stretches
        if stretch.since <= at < stretch.until
    )  # fmt: skip


def _by(found: Costs, currency: Currency) -> str:
    rows = [
        (row.key, row.money.amount, str(row.money)) for row in found.rows if row.money.currency == currency
    ]
    title = _("By {what}, {currency}").format(what=_(HEADS[found.by]), currency=currency.code)
    return bars(title, rows)


def _idle(story: Story) -> str:
    rows = [
        (f"{lease}", idle // timedelta(seconds=1), f"{span_text(idle)}: {_(SPANS.get(name, name))}")
        for lease, spans in story.idle.items()
        for name, idle in spans
    ]
    return bars(_("Paid but idle"), rows)


def _table(found: Costs) -> str:
    rows = "".join(
        f'<tr><td>{text(row.key)}</td><td class="money">{text(str(row.money))}</td></tr>'
        for row in found.rows
    )
    head = f'<tr><th>{text(_(HEADS[found.by]))}</th><th class="money">{text(_("spent"))}</th></tr>'
    return f"<table>{head}{rows}</table>"

"""Spending as one page that needs nothing else: no script, no network; readable in the dark too."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape

from attrs import frozen

from gpurent.cli.views.charts import HEADS, lacking_text, rates_text, together
from gpurent.cli.views.render import SPANS
from gpurent.domain.money import Currency, Money
from gpurent.locale import _, language
from gpurent.locale.spans import span_text
from gpurent.workflow.reports.costs import Costs, LeaseSpan, UsageHistory

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


def page(found: Costs, history: UsageHistory) -> str:
    """The whole document; it is well-formed XML as well."""
    title = _("What the GPUs cost")
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p>{text(_('In all: {total}').format(total=together(found.totals)))}</p>",
    ]
    parts += [_over_time(found, money.currency) for money in found.totals]
    currencies = {span.money.currency for span in history.spans}
    parts += [_burn(history.spans, currency) for currency in sorted(currencies, key=lambda it: it.code)]
    parts += [_by(found, money.currency) for money in found.totals]
    parts += [_idle(history)] if history.idle else []
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


def _burn(spans: Sequence[LeaseSpan], currency: Currency) -> str:
    """All leases of one moment together: each burns evenly what it cost over its own time."""
    mine = [span for span in spans if span.money.currency == currency]
    edges = {at for span in mine for at in (span.since, span.until)}
    points = [Point(at, _rate_at(mine, at)) for at in sorted(edges)]
    title = _("Burn rate, {currency} an hour").format(currency=currency.code)
    return steps(title, points, points[-1].at, lambda value: str(Money(value, currency)))


def _rate_at(spans: Sequence[LeaseSpan], at: datetime) -> int:
    """Minor units an hour."""
    return sum(
        span.money.amount * (_HOUR // timedelta(microseconds=1))
        // ((span.until - span.since) // timedelta(microseconds=1))
        for span in spans
        if span.since <= at < span.until
    )  # fmt: skip


def _by(found: Costs, currency: Currency) -> str:
    rows = [
        (row.key, row.money.amount, str(row.money)) for row in found.rows if row.money.currency == currency
    ]
    title = _("By {what}, {currency}").format(what=_(HEADS[found.by]), currency=currency.code)
    return bars(title, rows)


def _idle(history: UsageHistory) -> str:
    rows = [
        (f"{lease}", idle // timedelta(seconds=1), f"{span_text(idle)}: {_(SPANS.get(name, name))}")
        for lease, spans in history.idle.items()
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


WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 110, 20, 16, 34
ROW, LABEL = 24, 270
_SECOND = timedelta(seconds=1)
# XML has no place for these at all, not even escaped.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


@frozen
class Point:
    """``value`` from ``at`` on, in whole minor units."""

    at: datetime
    value: int


def text(value: str) -> str:
    """``value`` safe inside an element or an attribute; control and direction marks become visible."""
    return escape(_CONTROL.sub("\ufffd", value))


def steps(title: str, points: Sequence[Point], until: datetime, label: Callable[[int], str]) -> str:
    """A stepped line from the first point to ``until``; ``label`` names a value on the axis."""
    first, most = points[0].at, max(1, *(point.value for point in points))
    span = max((until - first) // _SECOND, 1)

    def x(at: datetime) -> int:
        return LEFT + (WIDTH - LEFT - RIGHT) * min((at - first) // _SECOND, span) // span

    def y(value: int) -> int:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * max(value, 0) // most

    path = f"M{x(first)} {y(points[0].value)}" + "".join(
        f"H{x(point.at)}V{y(point.value)}" for point in points[1:]
    )
    area = f"{path}H{x(until)}V{y(0)}H{x(first)}Z"
    parts = [f'<path class="area" d="{area}"/>', f'<path class="line" d="{path}H{x(until)}"/>']
    for value in (0, most):
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{y(value) + 4}">{text(label(value))}</text>')
        parts.append(f'<path class="rule" d="M{LEFT} {y(value)}H{WIDTH - RIGHT}"/>')
    for at, anchor in ((first, "start"), (until, "end")):
        parts.append(f'<text class="{anchor}" x="{x(at)}" y="{HEIGHT - 10}">{at:%Y-%m-%d %H:%M}</text>')
    return _svg(title, HEIGHT, parts)


def bars(title: str, rows: Sequence[tuple[str, int, str]]) -> str:
    """``(name, value, label)`` each as a bar; one scale."""
    most = max(1, *(value for _name, value, _label in rows))
    room = WIDTH - LEFT - RIGHT - LABEL
    parts = []
    for number, (name, value, label) in enumerate(rows):
        top = TOP + number * ROW
        size = room * max(value, 0) // most
        short = name if len(name) <= 14 else f"{name[:13]}…"
        parts += [
            f'<text class="end" x="{LEFT - 8}" y="{top + 15}">{text(short)}<title>{text(name)}</title></text>',
            f'<rect class="bar" x="{LEFT}" y="{top + 3}" width="{max(size, 1)}" height="{ROW - 8}"/>',
            f'<text x="{LEFT + size + 8}" y="{top + 15}">{text(label)}</text>',
        ]
    return _svg(title, 2 * TOP + len(rows) * ROW, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<figure><figcaption>{text(title)}</figcaption><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {WIDTH} {height}"><title>{text(title)}</title>{"".join(parts)}</svg></figure>'
    )

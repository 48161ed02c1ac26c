"""Spending as one self-contained HTML page: no scripts, no network, and a dark mode."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape

from attrs import frozen

from gpurent.cli.views.charts import (
    GROUP_TITLES,
    format_failed_starts,
    format_sum,
    format_unconverted,
    format_used_rates,
)
from gpurent.cli.views.render import IDLE_TITLES
from gpurent.domain.money import Currency, Money
from gpurent.locale import _, get_language
from gpurent.locale.durations import format_duration
from gpurent.workflow.reports.costs import Costs, LeaseSpan, UsageHistory

_HOUR = timedelta(hours=1)
_CSS = """
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


def render_cost_page(found: Costs, history: UsageHistory) -> str:
    """Render the whole document, which is also well-formed XML."""
    title = _("GPU costs")
    parts = [
        f"<h1>{escape_text(title)}</h1>",
        f"<p>{escape_text(_('Total: {total}').format(total=format_sum(found, found.totals)))}</p>",
    ]
    parts += [f"<p>{escape_text(line)}</p>" for line in format_failed_starts(found)]
    parts += [_spending_chart(found, money.currency) for money in found.totals]
    currencies = {span.money.currency for span in history.spans}
    parts += [
        _burn_rate_chart(history.spans, currency) for currency in sorted(currencies, key=lambda it: it.code)
    ]
    parts += [_group_chart(found, money.currency) for money in found.totals]
    parts += [_idle_chart(history)] if history.idle else []
    parts += [_html_table(found)]
    parts += [f"<p>{escape_text(line)}</p>" for line in format_used_rates(found.rates)]
    parts += [f"<p>{escape_text(format_unconverted(found))}</p>"] if found.unconverted else []
    return (
        f'<!DOCTYPE html>\n<html lang="{get_language()}"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width"/>'
        f"<title>{escape_text(title)}</title><style>{_CSS}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def _spending_chart(found: Costs, currency: Currency) -> str:
    points, total = [], 0
    for item in found.movements:
        if item.money.currency == currency:
            total += item.money.amount
            points.append(ChartPoint(item.at, total))
    points.insert(0, ChartPoint(points[0].at, 0))
    until = max(points[-1].at, points[0].at + _HOUR)
    title = _("Cumulative spending, {currency}").format(currency=currency.code)
    return draw_step_line(title, points, until, lambda value: str(Money(value, currency)))


def _burn_rate_chart(spans: Sequence[LeaseSpan], currency: Currency) -> str:
    """Draw the total burn rate over time; the cost of each lease is spread evenly over its duration."""
    mine = [span for span in spans if span.money.currency == currency]
    edges = {at for span in mine for at in (span.since, span.until)}
    points = [ChartPoint(at, _burn_rate_at(mine, at)) for at in sorted(edges)]
    title = _("Burn rate, {currency} per hour").format(currency=currency.code)
    return draw_step_line(title, points, points[-1].at, lambda value: str(Money(value, currency)))


def _burn_rate_at(spans: Sequence[LeaseSpan], at: datetime) -> int:
    """Return the burn rate in minor units per hour."""
    return sum(
        span.money.amount * (_HOUR // timedelta(microseconds=1))
        // ((span.until - span.since) // timedelta(microseconds=1))
        for span in spans
        if span.since <= at < span.until
    )  # fmt: skip


def _group_chart(found: Costs, currency: Currency) -> str:
    rows = [
        (row.key, row.money.amount, str(row.money)) for row in found.rows if row.money.currency == currency
    ]
    title = _("By {what}, {currency}").format(what=_(GROUP_TITLES[found.by]), currency=currency.code)
    return draw_bars(title, rows)


def _idle_chart(history: UsageHistory) -> str:
    rows = [
        (
            f"{lease}",
            idle // timedelta(seconds=1),
            f"{format_duration(idle)}: {_(IDLE_TITLES.get(name, name))}",
        )
        for lease, spans in history.idle.items()
        for name, idle in spans
    ]
    return draw_bars(_("Idle time that was paid for"), rows)


def _html_table(found: Costs) -> str:
    rows = "".join(
        f'<tr><td>{escape_text(row.key)}</td><td class="money">{escape_text(format_sum(found, [row.money]))}</td></tr>'
        for row in found.rows
    )
    head = f'<tr><th>{escape_text(_(GROUP_TITLES[found.by]))}</th><th class="money">{escape_text(_("spent"))}</th></tr>'
    return f"<table>{head}{rows}</table>"


CHART_WIDTH, CHART_HEIGHT = 720, 220
LEFT_MARGIN, RIGHT_MARGIN, TOP_MARGIN, BOTTOM_MARGIN = 110, 20, 16, 34
ROW_HEIGHT, LABEL_WIDTH = 24, 270
_SECOND = timedelta(seconds=1)
# XML does not allow these characters at all, not even escaped.
_CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


@frozen
class ChartPoint:
    """A point of a step chart: ``value``, in minor units, applies from ``at`` on."""

    at: datetime
    value: int


def escape_text(value: str) -> str:
    """Escape ``value`` for an element or an attribute; control and direction characters are replaced visibly."""
    return escape(_CONTROL_CHARACTERS.sub("\ufffd", value))


def draw_step_line(
    title: str, points: Sequence[ChartPoint], until: datetime, label: Callable[[int], str]
) -> str:
    """Draw a step line from the first point to ``until``; ``label`` formats a value on the axis."""
    first, most = points[0].at, max(1, *(point.value for point in points))
    span = max((until - first) // _SECOND, 1)

    def x(at: datetime) -> int:
        return (
            LEFT_MARGIN
            + (CHART_WIDTH - LEFT_MARGIN - RIGHT_MARGIN) * min((at - first) // _SECOND, span) // span
        )

    def y(value: int) -> int:
        return (
            CHART_HEIGHT - BOTTOM_MARGIN - (CHART_HEIGHT - TOP_MARGIN - BOTTOM_MARGIN) * max(value, 0) // most
        )

    path = f"M{x(first)} {y(points[0].value)}" + "".join(
        f"H{x(point.at)}V{y(point.value)}" for point in points[1:]
    )
    area = f"{path}H{x(until)}V{y(0)}H{x(first)}Z"
    parts = [f'<path class="area" d="{area}"/>', f'<path class="line" d="{path}H{x(until)}"/>']
    for value in (0, most):
        parts.append(
            f'<text class="end" x="{LEFT_MARGIN - 8}" y="{y(value) + 4}">{escape_text(label(value))}</text>'
        )
        parts.append(f'<path class="rule" d="M{LEFT_MARGIN} {y(value)}H{CHART_WIDTH - RIGHT_MARGIN}"/>')
    for at, anchor in ((first, "start"), (until, "end")):
        parts.append(f'<text class="{anchor}" x="{x(at)}" y="{CHART_HEIGHT - 10}">{at:%Y-%m-%d %H:%M}</text>')
    return _draw_figure(title, CHART_HEIGHT, parts)


def draw_bars(title: str, rows: Sequence[tuple[str, int, str]]) -> str:
    """Draw each ``(name, value, label)`` as a bar, all on the same scale."""
    most = max(1, *(value for _name, value, _label in rows))
    room = CHART_WIDTH - LEFT_MARGIN - RIGHT_MARGIN - LABEL_WIDTH
    parts = []
    for number, (name, value, label) in enumerate(rows):
        top = TOP_MARGIN + number * ROW_HEIGHT
        size = room * max(value, 0) // most
        short = name if len(name) <= 14 else f"{name[:13]}…"
        short_title = f"{escape_text(short)}<title>{escape_text(name)}</title>"
        parts += [
            f'<text class="end" x="{LEFT_MARGIN - 8}" y="{top + 15}">{short_title}</text>',
            f'<rect class="bar" x="{LEFT_MARGIN}" y="{top + 3}" width="{max(size, 1)}" height="{ROW_HEIGHT - 8}"/>',
            f'<text x="{LEFT_MARGIN + size + 8}" y="{top + 15}">{escape_text(label)}</text>',
        ]
    return _draw_figure(title, 2 * TOP_MARGIN + len(rows) * ROW_HEIGHT, parts)


def _draw_figure(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<figure><figcaption>{escape_text(title)}</figcaption><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {CHART_WIDTH} {height}"><title>{escape_text(title)}</title>{"".join(parts)}</svg></figure>'
    )

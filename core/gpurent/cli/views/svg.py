"""Charts as inline SVG: integer pixels, colours from the page's own variables, no script."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape

from attrs import frozen

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

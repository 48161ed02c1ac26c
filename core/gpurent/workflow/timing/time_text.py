"""Time left in the user's language."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.locale import _
from gpurent.locale.spans import span_text


def words(figure: TimeLeft) -> str:
    """The figure for people, in their language, short enough for tables."""
    if figure.left is not None:
        text = span_text(figure.left)
        return _("files: {span}").format(span=text) if figure.kind is TimeKind.KEPT else text
    return {
        TimeKind.OVER: "-",
        TimeKind.UNKNOWN: _("unknown"),
        TimeKind.DEPOSIT: _("while the deposit lies"),
        TimeKind.OPEN: _("open"),
    }.get(figure.kind, "-")


def sentence(figure: TimeLeft) -> str:
    """The figure with its end and its note, in one line."""
    text = _("time left: {words}").format(words=words(figure))
    if figure.until is not None:
        text += _(", until {until:%Y-%m-%d %H:%M} UTC").format(until=figure.until)
    return f"{text} ({figure.note})" if figure.note else text


def figure_data(figure: TimeLeft) -> dict[str, str | int]:
    """The figure as an event's data: spans in whole seconds, what is not known left out."""
    found: dict[str, str | int] = {"decided_by": figure.kind.value}
    if figure.left is not None:
        found.update(seconds=figure.left // timedelta(seconds=1), minutes=figure.left // timedelta(minutes=1))
    if figure.until is not None:
        found["until"] = figure.until.isoformat()
    if figure.burn is not None:
        found["burn"] = str(figure.burn)
    return found

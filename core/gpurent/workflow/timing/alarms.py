"""Warnings that time runs out: each threshold once for each lease, also when several processes watch it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.spans import parse_spans, span_text
from gpurent.workflow.timing.time_text import figure_data

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.workflow.runtime.desk import Desk
    from gpurent.workflow.runtime.state import Records

DEFAULT = "60m, 15m, 5m"
_SCOPE = "warn"
_SECOND = timedelta(seconds=1)


def thresholds(records: Records, provider: str) -> tuple[timedelta, ...]:
    """``at`` of ``[warn.<provider>]``, else of ``[warn]``; longest first. ``none`` switches warnings off."""
    text = records.setting(f"{_SCOPE}.{provider}", "at") or records.setting(_SCOPE, "at", DEFAULT)
    if text.strip().lower() in ("", "none", "off", "no"):
        return ()
    try:
        return parse_spans(text)
    except ValueError:
        raise UsageError(
            _("[warn] at = {text} is no list of times").format(text=repr(text)),
            hint=_('Write it so: at = "60m, 15m, 5m"'),
        ) from None


def below(left: timedelta | None, limits: Collection[timedelta]) -> tuple[timedelta, ...]:
    """The thresholds that ``left`` lies below."""
    return tuple(limit for limit in limits if left is not None and left < limit)


def mind(desk: Desk, lease: Lease, figure: TimeLeft, *, trip: str = "") -> timedelta | None:
    """Tell (`EventKind.TIME_LOW`) which threshold was newly passed; gives it, None when there is nothing new.

    Several passed at once are told once, by the shortest. A threshold is told again after the time rose above it. What
    was told is in the journal; whoever writes it there first tells, so that two watchers never both do.
    """
    from gpurent.domain.events import EventKind

    if figure.left is None:
        return None
    passed = {str(limit // _SECOND) for limit in below(figure.left, thresholds(desk, lease.provider))}
    while True:
        before = desk.journal.note(_SCOPE, lease.id)
        told = set((before or "").split())
        if passed == told:
            return None
        if desk.journal.swap_note(_SCOPE, lease.id, before, " ".join(sorted(passed, key=int))):
            break
    fresh = passed - told
    if not fresh:
        return None
    limit = min(int(seconds) for seconds in fresh)
    desk.tell(
        EventKind.TIME_LOW,
        _text(figure),
        trip=trip,
        lease=lease.id,
        step="",
        provider=lease.provider,
        threshold=limit,
        **figure_data(figure),
    )
    return timedelta(seconds=limit)


def _text(figure: TimeLeft) -> str:
    if figure.kind is TimeKind.KEPT:
        text = _("its files are deleted in {span}; start it again to bring them home")
    elif figure.kind is TimeKind.BALANCE:
        text = _("the balance lasts {span}; top up, else the server is shut")
    else:
        text = _("{span} left; renew, else the server is shut")
    return text.format(span=span_text(figure.left or timedelta()))

"""What a provider does by itself when no money is left, a machine stays shut down, or its paid time is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum

from attrs import field, frozen

from gpurent.locale import N_, _
from gpurent.terminal_text import NO_TEXT, ForeignText


class RetentionEvent(Enum):
    """What a step of the timeline counts from."""

    BALANCE_USED_UP = "balance-used-up"
    STOPPED = "stopped"
    TERM_ENDED = "term-ended"


class RetentionEffect(Enum):
    """What the provider does. DELETED: with the files."""

    WARNED = "warned"
    STOPPED = "stopped"
    DELETED = "deleted"


@frozen
class RetentionStep:
    """One step of a timeline: what happens ``after`` the event, None if the provider does not say when.

    ``note`` says for which machines, or at what time of the day, in the user's language.
    """

    event: RetentionEvent
    effect: RetentionEffect
    after: timedelta | None = timedelta()
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)


_E = RetentionEvent
_AT_ONCE = {
    _E.BALANCE_USED_UP: N_("as soon as the balance is used up"),
    _E.STOPPED: N_("as soon as a machine is shut down"),
    _E.TERM_ENDED: N_("as soon as the paid time is over"),
}
_LATER = {
    _E.BALANCE_USED_UP: N_("{span} after the balance is used up"),
    _E.STOPPED: N_("{span} after a machine was shut down"),
    _E.TERM_ENDED: N_("{span} after the paid time is over"),
}
_SOME_TIME_LATER = {
    _E.BALANCE_USED_UP: N_("some time after the balance is used up"),
    _E.STOPPED: N_("some time after a machine was shut down"),
    _E.TERM_ENDED: N_("some time after the paid time is over"),
}
_EFFECTS = {
    RetentionEffect.WARNED: N_("the provider warns you"),
    RetentionEffect.STOPPED: N_("machines are shut down"),
    RetentionEffect.DELETED: N_("machines are deleted, with their files"),
}


def find_kept_time(steps: Sequence[RetentionStep], event: RetentionEvent) -> timedelta | None:
    """Return for how long files are kept after ``event`` at least; None if that is not stated."""
    deleted = [s.after for s in steps if (s.event, s.effect) == (event, RetentionEffect.DELETED)]
    return min((after for after in deleted if after is not None), default=None)


def describe_retention(steps: Sequence[RetentionStep], *events: RetentionEvent) -> list[str]:
    """Return one line for each step that counts from one of ``events``, all without any, in the user's language."""
    return [_describe_step(step) for step in steps if not events or step.event in events]


def _describe_step(step: RetentionStep) -> str:
    from gpurent.locale.durations import (
        format_duration,  # lazy: entries, which have steps, are made at each start
    )

    if step.after is None:
        when = _(_SOME_TIME_LATER[step.event])
    elif step.after:
        when = _(_LATER[step.event]).format(span=format_duration(step.after))
    else:
        when = _(_AT_ONCE[step.event])
    line = _("{when}: {what}").format(when=when, what=_(_EFFECTS[step.effect]))
    return _("{line} ({note})").format(line=line, note=step.note) if step.note else line

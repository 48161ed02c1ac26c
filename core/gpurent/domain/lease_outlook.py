"""What a lease has cost so far, and what ends it first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.locale import N_, _


class EndCause(Enum):
    """What ends a lease: a TIMER in the machine, the PROVIDER_TIMER, a DEADLINE or BUDGET, or as `TimeKind`.

    A deadline and a budget end it only while its trip or the guard runs.
    """

    TIMER = "timer"
    PROVIDER_TIMER = "provider-timer"
    DEADLINE = "deadline"
    BUDGET = "budget"
    BALANCE = "balance"
    TERM = "term"
    DEPOSIT = "deposit"
    FILES = "files"

    @property
    def title(self) -> str:
        """The cause in the user's language, as a word in a table."""
        return _(_TITLES[self])


_TITLES = {
    EndCause.TIMER: N_("timer"),
    EndCause.PROVIDER_TIMER: N_("provider's timer"),
    EndCause.DEADLINE: N_("deadline"),
    EndCause.BUDGET: N_("budget"),
    EndCause.BALANCE: N_("balance"),
    EndCause.TERM: N_("term"),
    EndCause.DEPOSIT: N_("deposit"),
    EndCause.FILES: N_("files deleted"),
}
_CAUSES = {
    TimeKind.PREPAID: EndCause.TERM,
    TimeKind.BALANCE: EndCause.BALANCE,
    TimeKind.DEPOSIT: EndCause.DEPOSIT,
    TimeKind.KEPT: EndCause.FILES,
}


@frozen(kw_only=True)
class LeaseEnd:
    """``at`` is in provider time (UTC), ``left`` from now, never negative."""

    cause: EndCause
    at: datetime
    left: timedelta


@frozen(kw_only=True)
class LeaseOutlook:
    """``spent`` so far, one amount a currency; ``is_estimated``: by time and price, as the ledger has less.

    ``end``: what ends the lease first; None if nothing known does.
    """

    spent: tuple[Money, ...] = ()
    is_estimated: bool = False
    end: LeaseEnd | None = None


def find_first_end(
    time_left: TimeLeft, others: Iterable[tuple[EndCause, datetime | None]], now: datetime
) -> LeaseEnd | None:
    """Return the earliest of the lease's own end and the ``others``; None if there is none."""
    ends = [(at, cause) for cause, at in others if at is not None]
    if time_left.until is not None and time_left.kind in _CAUSES:
        ends.append((time_left.until, _CAUSES[time_left.kind]))
    if not ends:
        return None
    at, cause = min(ends, key=lambda end: end[0])
    return LeaseEnd(cause=cause, at=at, left=max(timedelta(), at - now))

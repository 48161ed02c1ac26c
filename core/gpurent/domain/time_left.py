"""How long a lease lasts, one figure for every way of paying (exact, never below zero), and the timer in a machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from enum import Enum
from fractions import Fraction
from math import floor, lcm

from attrs import evolve, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import MICROSECOND, Money, UnitPrice
from gpurent.domain.offer import Metered
from gpurent.errors import MoneyError
from gpurent.locale import _

MAX_TIME_LEFT = timedelta(days=3660)
_DECIMAL_PRECISION = 400
_UNSTARTED_STATES = (LeaseState.REQUESTED, LeaseState.PAYABLE)


class TimeKind(Enum):
    """What decides: the PREPAID end, the BALANCE, how long a DEPOSIT's free use lasts, how long files are KEPT.

    OPEN: nothing ends it that is known of (not begun, or it costs nothing). OVER: it has ended. UNKNOWN: it could not
    be found out, which says nothing about how long it lasts.
    """

    PREPAID = "prepaid"
    BALANCE = "balance"
    DEPOSIT = "deposit"
    KEPT = "kept"
    OPEN = "open"
    OVER = "over"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class TimeLeft:
    """``until`` in provider time (UTC) and ``left`` from the look on; both None where nothing ends it, or nobody knows.

    ``burn`` is what all leases on the same balance cost together. ``note`` is the reason of UNKNOWN, or what else the
    figure rests on.
    """

    kind: TimeKind
    until: datetime | None = None
    left: timedelta | None = None
    burn: UnitPrice | None = None
    note: str = ""


def time_left_until(kind: TimeKind, until: datetime | None, now: datetime, note: str = "") -> TimeLeft:
    """A figure with a known end; past ends are zero."""
    left = max(timedelta(), until - now) if until is not None else None
    return TimeLeft(kind=kind, until=until, left=left, note=note)


def drains_balance(lease: Lease) -> bool:
    """Whether ``lease`` takes from a balance as time passes."""
    return (
        isinstance(lease.offer.tariff, Metered) and not lease.is_over and lease.state not in _UNSTARTED_STATES
    )


def time_left_by_lease(lease: Lease, now: datetime) -> TimeLeft | None:
    """What the lease alone tells; None where its account's balance decides."""
    if lease.state is LeaseState.KEPT and lease.kept_until is not None:
        return time_left_until(TimeKind.KEPT, lease.kept_until, now)
    if lease.is_over:
        return TimeLeft(kind=TimeKind.OVER)
    if lease.declared is not None:
        # Its own balance or end; with neither, the shop's account decides, which is not ours to see.
        kind = TimeKind.BALANCE if lease.declared.balance else TimeKind.PREPAID
        figure = time_left_until(kind if lease.expires_at else TimeKind.OPEN, lease.expires_at, now)
        return evolve(figure, burn=lease.declared.price)
    if lease.offer.deposit is not None:
        return time_left_until(TimeKind.DEPOSIT, lease.expires_at, now)
    if lease.expires_at is not None:
        return time_left_until(TimeKind.PREPAID, lease.expires_at, now)
    return None if drains_balance(lease) else TimeLeft(kind=TimeKind.OPEN)


def sum_prices(prices: Sequence[UnitPrice]) -> UnitPrice:
    """The sum of one or more prices, exactly: spans that differ are brought to a common one, values never divided."""
    if any(price.currency != prices[0].currency for price in prices):
        raise MoneyError(_("prices in several currencies cannot be summed without a rate"))
    span = lcm(*(price.per // MICROSECOND for price in prices))
    with localcontext(prec=_DECIMAL_PRECISION):
        value = sum((price.value * (span // (price.per // MICROSECOND)) for price in prices), Decimal(0))
    return UnitPrice(value, prices[0].currency, span * MICROSECOND)


def compute_runway(balance: Money, burn: UnitPrice) -> timedelta | None:
    """How long ``balance`` lasts, to the microsecond below, at most `LONGEST`; None when nothing is burnt."""
    if balance.currency != burn.currency:
        raise MoneyError(
            _("{one} and {other} cannot be compared without a rate").format(
                one=balance.currency.code, other=burn.currency.code
            )
        )
    if not burn.value:
        return None
    exact = Fraction(balance.decimal) / Fraction(burn.value) * (burn.per // MICROSECOND)
    return min(max(0, floor(exact)), MAX_TIME_LEFT // MICROSECOND) * MICROSECOND


def time_left_by_balance(
    balance: Money, at: datetime, burn: UnitPrice, now: datetime, note: str = ""
) -> TimeLeft:
    """The figure that every lease on one balance shares; ``balance`` is what was there at ``at``."""
    lasting = compute_runway(balance, burn)
    if lasting is None:
        return TimeLeft(kind=TimeKind.OPEN, burn=burn, note=note)
    until = at + lasting
    return TimeLeft(
        kind=TimeKind.BALANCE, until=until, left=max(timedelta(), until - now), burn=burn, note=note
    )


@frozen(kw_only=True)
class MachineTimer:
    """Shuts a machine from within. ``until`` is when, in provider time; None while it is off.

    ``closing``: the last minutes run, and no new job starts.
    """

    until: datetime | None = None
    closing: bool = False

    @property
    def is_armed(self) -> bool:
        return self.until is not None

"""How long a lease lasts, one figure for every kind of tariff (exact, never negative), and the timer in a machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from enum import Enum
from fractions import Fraction
from math import floor, lcm

from attrs import evolve, field, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import MICROSECOND, Money, UnitPrice
from gpurent.domain.offer import Metered
from gpurent.errors import MoneyError
from gpurent.locale import _
from gpurent.terminal_text import NO_TEXT, ForeignText

MAX_TIME_LEFT = timedelta(days=3660)
_DECIMAL_PRECISION = 400
_UNSTARTED_STATES = (LeaseState.REQUESTED, LeaseState.PAYABLE)


class TimeKind(Enum):
    """What ends the lease: its PREPAID term, the BALANCE, the DEPOSIT's period of free use, or how long files are KEPT.

    OPEN: nothing known ends it (not started yet, or free of charge). OVER: it has ended. UNKNOWN: the time left could
    not be determined, which says nothing about how long it lasts.
    """

    PREPAID = "prepaid"
    BALANCE = "balance"
    DEPOSIT = "deposit"
    KEPT = "kept"
    OPEN = "open"
    OVER = "over"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class SavedBalance:
    """The balance of an ``account`` of the billing entry ``billing`` at the time ``at``.

    ``money`` is in the currency that its leases burn. An empty ``account`` is not known.
    """

    billing: str
    account: str = field(default=NO_TEXT, converter=ForeignText)
    money: Money
    at: datetime


@frozen(kw_only=True)
class SavedTimer:
    """The last known timer in a machine; ``by_policy``: the user did not ask for it."""

    until: datetime
    by_policy: bool = False


@frozen(kw_only=True)
class TimeLeft:
    """``until`` in provider time (UTC) and ``left`` from now; both are None when there is no end or none is known.

    ``burn_rate`` is what all leases on the same balance cost together. ``note`` is the reason for UNKNOWN, or what
    else the figure depends on.
    """

    kind: TimeKind
    until: datetime | None = None
    left: timedelta | None = None
    burn_rate: UnitPrice | None = None
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)


def time_left_until(kind: TimeKind, until: datetime | None, now: datetime, note: str = "") -> TimeLeft:
    """Return the time left for a known end; zero if the end is in the past."""
    left = max(timedelta(), until - now) if until is not None else None
    return TimeLeft(kind=kind, until=until, left=left, note=note)


def drains_balance(lease: Lease) -> bool:
    """Return whether ``lease`` draws on a balance as time passes."""
    return (
        isinstance(lease.offer.tariff, Metered) and not lease.is_over and lease.state not in _UNSTARTED_STATES
    )


def time_left_by_lease(lease: Lease, now: datetime) -> TimeLeft | None:
    """Return the time left as far as the lease alone determines it; None where the account's balance decides."""
    if (lease.state is LeaseState.KEPT or lease.is_kept_free) and lease.kept_until is not None:
        return time_left_until(TimeKind.KEPT, lease.kept_until, now)
    if lease.is_over:
        return TimeLeft(kind=TimeKind.OVER)
    if lease.declared is not None:
        # Its own balance or end; with neither, the provider's account decides, which gpurent cannot see.
        kind = TimeKind.BALANCE if lease.declared.balance else TimeKind.PREPAID
        figure = time_left_until(kind if lease.expires_at else TimeKind.OPEN, lease.expires_at, now)
        return evolve(figure, burn_rate=lease.declared.price)
    if lease.offer.deposit is not None:
        return time_left_until(TimeKind.DEPOSIT, lease.expires_at, now)
    if lease.expires_at is not None:
        return time_left_until(TimeKind.PREPAID, lease.expires_at, now)
    return None if drains_balance(lease) else TimeLeft(kind=TimeKind.OPEN)


def sum_prices(prices: Sequence[UnitPrice]) -> UnitPrice:
    """Sum one or more prices exactly: different time units are brought to a common one, values are never divided.

    Raises `MoneyError` if one is not known, or if the currencies differ.
    """
    if not all(price.is_known for price in prices):
        raise MoneyError(_("the price of a running machine is not known"))
    if any(price.currency != prices[0].currency for price in prices):
        raise MoneyError(_("cannot add prices in different currencies without an exchange rate"))
    span = lcm(*(price.per // MICROSECOND for price in prices))
    with localcontext(prec=_DECIMAL_PRECISION):
        value = sum((price.value * (span // (price.per // MICROSECOND)) for price in prices), Decimal(0))
    return UnitPrice(value, prices[0].currency, span * MICROSECOND)


def compute_runway(balance: Money, burn: UnitPrice) -> timedelta | None:
    """Return how long ``balance`` lasts, rounded down to 1 µs, at most `MAX_TIME_LEFT`; None if nothing is burnt."""
    if balance.currency != burn.currency:
        raise MoneyError(
            _("cannot compare {one} and {other} without an exchange rate").format(
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
    """Return the time left that all leases on one balance share; ``balance`` is as of the time ``at``."""
    lasting = compute_runway(balance, burn)
    if lasting is None:
        return TimeLeft(kind=TimeKind.OPEN, burn_rate=burn, note=note)
    until = at + lasting
    return TimeLeft(
        kind=TimeKind.BALANCE, until=until, left=max(timedelta(), until - now), burn_rate=burn, note=note
    )


@frozen(kw_only=True)
class MachineTimer:
    """A timer that shuts a machine down from within, at ``until`` (provider time); None while it is off.

    ``closing``: the last minutes have begun, and no new job starts. ``provider_until``: when the provider itself shuts
    the machine down, None where it has no such timer set.
    """

    until: datetime | None = None
    closing: bool = False
    provider_until: datetime | None = None

    @property
    def is_armed(self) -> bool:
        return self.until is not None

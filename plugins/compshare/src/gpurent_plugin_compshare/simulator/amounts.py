"""Money as whole hundredths of a fen, meters that are settled by the hour, and bills."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from attrs import define, field, frozen

from gpurent.api import Currency, parse_foreign_decimal

UNITS = 10_000
CNY = Currency("CNY", 4)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
SECONDS_PER_HOUR = 3600
CHINA = timedelta(hours=8)
FREE_DISK_GB, DISK_PRICE = 100, 5
"""Each further GB costs 0.0005 yuan an hour, also while the machine is stopped."""
CARDLESS_PRICE = 1_500


def make_yuan(units: int) -> Decimal:
    """Return an amount as yuan, exactly."""
    return Decimal(units).scaleb(-4)


def parse_units(value: object) -> int | None:
    """Return an amount in yuan, cut off beyond the fourth decimal; None if it is no number."""
    try:
        return int(parse_foreign_decimal(value) * UNITS)
    except ValueError:
        return None


def disk_rate(gigabytes: int) -> int:
    """Return what a system disk costs an hour."""
    return max(0, gigabytes - FREE_DISK_GB) * DISK_PRICE


def round_share(amount: int, part: int, whole: int) -> int:
    """Return a part of an amount, rounded to the nearest unit."""
    return (2 * amount * part + whole) // (2 * whole)


@frozen(kw_only=True)
class Bill:
    """One order of the account. ``amount``: below zero for a refund; ``coupon``: the part that a coupon paid."""

    number: str
    resource: str
    order_type: str
    charge_type: str
    start: datetime
    end: datetime
    at: datetime
    amount: int
    coupon: int = 0

    @property
    def cash(self) -> int:
        return self.amount - self.coupon


@define
class Meter:
    """What a resource costs now: ``rate`` units an hour since ``since``; settled each hour, and when the rate changes.

    Assumed: hours are counted from the beginning of a run, and each settlement is rounded to the nearest unit.
    """

    resource: str
    charge_type: str
    rate: int = 0
    since: datetime | None = None
    history: list[tuple[datetime, int]] = field(factory=list)

    @property
    def due_at(self) -> datetime | None:
        return self.since + HOUR if self.since is not None and self.rate else None

    def take_cost(self, at: datetime) -> tuple[datetime, int]:
        """Return since when it ran, and what that cost, and begin anew."""
        start, self.since = self.since or at, at
        return start, round_share(self.rate, (at - start) // SECOND, SECONDS_PER_HOUR)

    def set_rate(self, rate: int, at: datetime) -> None:
        """Change the rate, once it is settled."""
        self.rate, self.since = rate, at
        self.history.append((at, rate))

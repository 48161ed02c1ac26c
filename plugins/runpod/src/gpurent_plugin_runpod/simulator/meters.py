"""What pods and volumes cost: rates that change, billed by whole seconds and booked every five minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import floor

from attrs import define, field, frozen

SECOND, HOUR_SECONDS = timedelta(seconds=1), 3600
MONTH_HOURS = 720
"""Assumed: storage is priced by the month of 30 days."""
BILLING_INTERVAL = timedelta(minutes=5)
DISK_PRICE, STOPPED_DISK_PRICE, VOLUME_PRICE = 100_000, 200_000, 70_000
"""Micro-USD for each GB and month."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def compute_storage_rate(price: int, gigabytes: int) -> Fraction:
    """Return what storage costs in an hour, in micro-USD."""
    return Fraction(price * gigabytes, MONTH_HOURS)


def find_next_run(after: datetime) -> datetime:
    """Return the first moment after ``after`` at which the service bills."""
    return _EPOCH + ((after - _EPOCH) // BILLING_INTERVAL + 1) * BILLING_INTERVAL


@define
class Meter:
    """One kind of cost. ``changes``: from when on it costs how much an hour, in micro-USD."""

    changes: list[tuple[datetime, Fraction]] = field(factory=list)

    def set_rate(self, at: datetime, rate: Fraction) -> None:
        self.changes.append((at, rate))

    @property
    def rate(self) -> Fraction:
        return self.changes[-1][1] if self.changes else Fraction(0)

    def compute_cost(self, at: datetime) -> int:
        """Return what it cost until ``at``, in micro-USD, rounded down once."""
        spans = pairwise([*self.changes, (at, Fraction(0))])
        seconds = [
            (rate, max(timedelta(), min(end, at) - start) // SECOND) for (start, rate), (end, _next) in spans
        ]
        return floor(sum(rate * count for rate, count in seconds) / HOUR_SECONDS)


@frozen(kw_only=True)
class Booking:
    """What one pod or volume was charged for the time from ``since`` to ``at``: micro-USD by kind."""

    since: datetime
    at: datetime
    ref: str
    amounts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.amounts.values())


@define
class MeterSet:
    """The meters of one pod or volume, and how far they are booked."""

    ref: str
    since: datetime
    meters: dict[str, Meter] = field(factory=dict)
    booked: dict[str, int] = field(factory=dict)

    def set_rates(self, at: datetime, **rates: Fraction) -> None:
        """Set what it costs from ``at`` on, in micro-USD an hour by kind; any other kind costs nothing then."""
        for kind in {*self.meters, *rates}:
            self.meters.setdefault(kind, Meter()).set_rate(at, rates.get(kind, Fraction(0)))

    @property
    def rate(self) -> Fraction:
        return sum((meter.rate for meter in self.meters.values()), Fraction(0))

    def compute_cost(self, at: datetime) -> int:
        return sum(meter.compute_cost(at) for meter in self.meters.values())

    def book(self, at: datetime) -> Booking | None:
        """Return the booking of what has cost something since the last one; None if nothing has."""
        costs = {kind: meter.compute_cost(at) for kind, meter in self.meters.items()}
        amounts = {kind: cost - self.booked.get(kind, 0) for kind, cost in costs.items()}
        since, self.since, self.booked = self.since, at, costs
        return Booking(since=since, at=at, ref=self.ref, amounts=amounts) if any(amounts.values()) else None

"""What runs up costs: a rate from one moment to another, billed by whole seconds."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import floor

from attrs import define

SECOND = timedelta(seconds=1)
SECONDS_PER_HOUR = 3600
HOURS_PER_MONTH = 30 * 24
"""Assumed: storage is priced by the month of 30 days."""


@define
class Meter:
    """One cost of an instance. ``rate``: micro-USD per second; ``full_rate``: the same without a discount.

    n whole seconds cost the rate times n, rounded down once.
    """

    kind: str
    rate: Fraction
    full_rate: Fraction
    started_at: datetime
    ended_at: datetime | None = None

    def count_seconds(self, at: datetime) -> int:
        """Return the whole seconds billed until ``at``."""
        end = at if self.ended_at is None else min(at, self.ended_at)
        return max(0, (end - self.started_at) // SECOND)

    def compute_cost(self, at: datetime) -> int:
        """Return what it cost until ``at``, in micro-USD."""
        return floor(self.rate * self.count_seconds(at))

    def compute_discount(self, at: datetime) -> int:
        """Return what it would have cost more without the discount."""
        return floor(self.full_rate * self.count_seconds(at)) - self.compute_cost(at)


@define
class Traffic:
    """Bytes that were sent or received, as one amount. ``kind``: bwu or bwd."""

    kind: str
    at: datetime
    amount: int


@define
class InstanceDeposit:
    """What was prepaid for an instance and is not used up: from ``since`` on, GPU costs are taken from it first.

    ``spent_before``: the GPU costs until then; ``covered_before``: what earlier deposits paid.
    """

    since: datetime
    amount: int
    months: Fraction
    rate: Fraction
    spent_before: int
    covered_before: int

    def compute_used(self, gpu_cost: int) -> int:
        """Return how much of it is used, when the GPU has cost ``gpu_cost`` in all."""
        return min(self.amount, gpu_cost - self.spent_before)


def hourly(micros: int) -> Fraction:
    """Return a price per hour as a rate per second."""
    return Fraction(micros, SECONDS_PER_HOUR)


def storage_hourly(micros_per_month: int, gigabytes: Fraction) -> Fraction:
    """Return what storage costs in an hour, in micro-USD."""
    return micros_per_month * gigabytes / HOURS_PER_MONTH


_DISCOUNTS = (
    (Fraction(0), Fraction(0)),
    (Fraction(1), Fraction(2, 10)),
    (Fraction(3), Fraction(3, 10)),
    (Fraction(6), Fraction(4, 10)),
)


def compute_discount_rate(months: Fraction) -> Fraction:
    """Return the discount for a prepayment: 0.2 for one month, 0.3 for three (documented), 0.4 at most.

    Assumed: linear in between, and 0.4 from six months on.
    """
    for (low, low_rate), (high, high_rate) in pairwise(_DISCOUNTS):
        if months <= high:
            return low_rate + (high_rate - low_rate) * (months - low) / (high - low)
    return _DISCOUNTS[-1][1]

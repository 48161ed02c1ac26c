"""What the month's budgets leave for the meters that run: their leases share it."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.offer import Metered
from gpurent.domain.time_left import LONGEST, burn_of, drains, runway
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.runtime.desk import Desk


@frozen(kw_only=True)
class Month:
    """``left`` may be below zero; ``burn`` is what all meters under the same limit cost together."""

    left: Money
    burn: UnitPrice


async def month_of(desk: Desk, provider: str) -> Month | None:
    """The limit that is reached first; None without one in the meters' currency. Asks no shop."""
    found = []
    for standing in await budget.standings(desk, provider, sync=False):
        meters = [lease for lease in standing.limit.leases if drains(lease)]
        prices = [lease.offer.tariff.price for lease in meters]
        codes = {price.currency.code for price in prices}
        if codes != {standing.limit.money.currency.code}:
            continue
        burn = burn_of(prices)
        left = sum((-_unbooked(desk, lease) for lease in meters), burn.currency.money(_whole(standing, burn)))
        found.append(Month(left=left, burn=burn))
    return min(found, key=_soonest, default=None)


def _soonest(month: Month) -> timedelta:
    lasting = runway(month.left, month.burn)
    return LONGEST if lasting is None else lasting


def _whole(standing: budget.BudgetStatus, burn: UnitPrice) -> str:
    """What the books leave, rounded down to the meters' unit."""
    exponent = burn.currency.exponent
    left = standing.left
    minor = left.amount * 10**exponent // 10**left.currency.exponent
    return f"{Money(minor, burn.currency).decimal:f}"


def _unbooked(desk: Desk, lease: Lease) -> Money:
    """Used by the clock and in no book yet."""
    tariff = lease.offer.tariff
    zero = tariff.price.currency.zero
    if not isinstance(tariff, Metered) or lease.started_at is None:
        return zero
    used = tariff.price.cost(desk.clock.now() - lease.started_at)
    booked = [total.spent for total in desk.books.spending(lease=lease.id) if total.currency == used.currency]
    return max(used - sum(booked, zero), zero)

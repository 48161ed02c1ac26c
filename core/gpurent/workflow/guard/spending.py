"""What one lease has cost and may cost, and what is left of the monthly budgets for all meters that share them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money, UnitPrice
from gpurent.domain.offer import PaymentPurpose
from gpurent.domain.time_left import MAX_TIME_LEFT, compute_runway, drains_balance, sum_prices
from gpurent.ports.store import TripStore
from gpurent.ports.system import Clock
from gpurent.workflow.guard.facts import MonthLeft
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.timing.guard_policy import PolicyAmount


def metered_cost(lease: Lease, price: UnitPrice, now: datetime) -> Money:
    return price.cost(now - lease.started_at) if lease.started_at else price.currency.zero


def billed_cost(lease: Lease) -> Money | None:
    """Return the sum of the bills, None if there are none; deposits are held, not spent, and do not count."""
    amounts = [bill.amount for bill in lease.bills if bill.purpose is not PaymentPurpose.DEPOSIT]
    return sum(amounts[1:], amounts[0]) if amounts else None


def smallest_budget(
    store: TripStore, trips: Iterable[str], currency: Currency, written: PolicyAmount | None
) -> Money | None:
    """Return the smallest of the budgets of ``trips`` and of the policy that are in ``currency``; None without any."""
    fundings = [store.find_step_value(trip, "check-funds", Funding) for trip in trips]
    budgets = [funding.budget for funding in fundings if funding is not None]
    found = [budget for budget in budgets if budget is not None and budget.currency == currency]
    if written is not None and written.currency_code == currency.code:
        found.append(currency.money(written.value))
    return min(found, default=None)


@frozen
class MonthBudgets:
    """The monthly budgets that are in the same currency as the meters they cover. Makes no requests."""

    budgets: Budgets
    bookkeeping: Bookkeeping
    clock: Clock

    async def find_month_left(self, provider: str) -> MonthLeft | None:
        """Return what is left of the budget that is used up first; None if none is in the currency of its meters."""
        found = []
        for status in await self.budgets.list_statuses(provider, sync=False):
            meters = [lease for lease in status.limit.leases if drains_balance(lease)]
            prices = [lease.offer.tariff.price for lease in meters]
            if {price.currency.code for price in prices} != {status.limit.money.currency.code}:
                continue
            burn = sum_prices(prices)
            unit, left = burn.currency, status.left
            # Rounded down to the precision of the meters' currency.
            there = Money(left.amount * 10**unit.exponent // 10**left.currency.exponent, unit)
            unbooked = sum((self._unbooked_cost(lease) for lease in meters), unit.zero)
            found.append(MonthLeft(left=there - unbooked, burn=burn))
        return min(found, key=_month_runway, default=None)

    def _unbooked_cost(self, lease: Lease) -> Money:
        """Return the metered cost so far that is not in the ledger yet."""
        used = metered_cost(lease, lease.offer.tariff.price, self.clock.now())
        zero = used.currency.zero
        totals = self.bookkeeping.sum_spending(lease=lease.id)
        booked = sum((total.spent for total in totals if total.currency == used.currency), zero)
        return max(used - booked, zero)


def _month_runway(month: MonthLeft) -> timedelta:
    lasting = compute_runway(month.left, month.burn)
    return MAX_TIME_LEFT if lasting is None else lasting

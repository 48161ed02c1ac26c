"""What one lease has cost and may cost, and what is left of the monthly budgets for all meters that share them."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money
from gpurent.domain.offer import PaymentPurpose
from gpurent.domain.time_left import MAX_TIME_LEFT, compute_runway, drains_balance, sum_prices
from gpurent.errors import GpurentError
from gpurent.locale import _, join_clauses
from gpurent.workflow.guard.facts import MonthLeft
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.budgets import Budgets, BudgetStatus
from gpurent.workflow.payments.rates import RateLookup


def billed_cost(lease: Lease) -> Money | None:
    """Return the sum of the bills, None if there are none; deposits are held, not spent, and do not count."""
    amounts = [bill.amount for bill in lease.bills if bill.purpose is not PaymentPurpose.DEPOSIT]
    return sum(amounts[1:], amounts[0]) if amounts else None


@frozen
class MonthBudgets:
    """What is left of the monthly budgets for the meters that they cover. Asks accounts for exchange rates only."""

    budgets: Budgets
    bookkeeping: Bookkeeping

    async def find_month_left(self, provider: str) -> tuple[MonthLeft | None, str]:
        """Return what is left of the budget that is used up first, and why some budget could not be checked.

        None if no budget covers a running meter.
        """
        found, reasons = [], []
        lookup = self.budgets.rates.start_lookup()
        for limit in await self.budgets.list_limits(provider):
            try:
                status = await self.budgets.get_status(limit, lookup)
                left = await self._compare_meters(status, lookup)
            except GpurentError as error:
                reasons.append(
                    _("the {name} cannot be checked: {why}").format(name=limit.name, why=error.message)
                )
                continue
            if left is not None:
                found.append(left)
        return min(found, key=_month_runway, default=None), join_clauses(reasons)

    async def _compare_meters(self, status: BudgetStatus, lookup: RateLookup) -> MonthLeft | None:
        meters = [lease for lease in status.limit.leases if drains_balance(lease)]
        if not meters:
            return None
        readings = {lease.id: await self.budgets.meters.estimate_meter(lease) for lease in meters}
        burn = sum_prices([reading.price for reading in readings.values()])
        unbooked = [await self._unbooked_cost(name, reading.used) for name, reading in readings.items()]
        left = await _convert_down(status.left, burn.currency, lookup)
        return MonthLeft(left=left - sum(unbooked, burn.currency.zero), burn=burn)

    async def _unbooked_cost(self, lease: str, used: Money) -> Money:
        """Return what was used but is not in the ledger yet."""
        zero = used.currency.zero
        totals = await self.bookkeeping.sum_spending(lease=lease)
        booked = sum((total.spent for total in totals if total.currency == used.currency), zero)
        return max(used - booked, zero)


async def _convert_down(money: Money, unit: Currency, lookup: RateLookup) -> Money:
    """Convert ``money``, possibly negative, to ``unit``, rounded down to the precision of ``unit``."""
    if money.currency.code == unit.code:
        return Money(money.amount * 10**unit.exponent // 10**money.currency.exponent, unit)
    conversion = await lookup.get_conversion(money.currency, unit)
    return -conversion.convert(-money) if money.amount < 0 else conversion.convert(money, round_up=False)


def _month_runway(month: MonthLeft) -> timedelta:
    lasting = compute_runway(month.left, month.burn)
    return MAX_TIME_LEFT if lasting is None else lasting

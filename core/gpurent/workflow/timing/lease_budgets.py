"""The budget that covers one lease, and when the lease has used it up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money
from gpurent.domain.offer import Metered
from gpurent.domain.time_left import compute_runway
from gpurent.ports.store import TripStore
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.timing.guard_policy import PolicyAmount


async def smallest_budget(
    store: TripStore, trips: Iterable[str], currency: Currency, written: PolicyAmount | None
) -> Money | None:
    """Return the smallest of the budgets of ``trips`` and of the policy that are in ``currency``; None without any."""
    fundings = [await store.find_step_value(trip, "check-funds", Funding) for trip in trips]
    budgets = [funding.budget for funding in fundings if funding is not None]
    found = [budget for budget in budgets if budget is not None and budget.currency == currency]
    if written is not None and written.currency_code == currency.code:
        found.append(currency.money(written.value))
    return min(found, default=None)


def find_budget_end(lease: Lease, budget: Money | None, now: datetime) -> datetime | None:
    """Return when a metered lease has used up ``budget``, by its price; None if that is not known."""
    price = lease.offer.tariff.price
    if not isinstance(lease.offer.tariff, Metered) or budget is None or budget.currency != price.currency:
        return None
    runway = compute_runway(budget - price.cost(now - (lease.started_at or now)), price)
    return None if runway is None else now + runway

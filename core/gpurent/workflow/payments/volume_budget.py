"""What a new volume costs in the rest of the month, against the monthly budgets."""

from __future__ import annotations

from datetime import datetime, timedelta

from gpurent.domain.volume import Volume
from gpurent.errors import MoneyError, Spent
from gpurent.locale import _
from gpurent.workflow.payments.budgets import Budgets


async def check_volume_budget(budgets: Budgets, volume: Volume) -> None:
    """Raise `BudgetExceeded` if the volume would cost more until the month's end than a monthly budget has left.

    Raises `MoneyError` if there is a budget and the price is not known. Nothing is spent.
    """
    if not budgets.has_month_budget(volume.provider):
        return
    if volume.price is None or not volume.price.is_known:
        text = _("{provider} states no price for this volume, so that no monthly budget can be kept")
        raise MoneyError(text.format(provider=volume.provider), spent=Spent.NO)
    now = budgets.meters.clocks.clock_of(volume.provider).now()
    await budgets.check_budgets(volume.provider, volume.price.cost(_find_month_end(now) - now))


def _find_month_end(now: datetime) -> datetime:
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (begin + timedelta(days=32)).replace(day=1)

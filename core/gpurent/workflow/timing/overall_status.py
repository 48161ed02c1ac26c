"""Everything that matters on one page, from what this computer knows: leases, money, trips. Makes no requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money, UnitPrice
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.time_left import SavedBalance, drains_balance, sum_prices
from gpurent.domain.trip import TripRecord
from gpurent.domain.volume import Volume
from gpurent.ports.store import Store
from gpurent.ports.system import Clock
from gpurent.roles.entries import BillingEntry, PluginRegistry
from gpurent.workflow.runtime.settings import Settings

_SPENT_SIGNS = {ChargeKind.USAGE: 1, ChargeKind.RENEWAL: 1, ChargeKind.FEE: 1, ChargeKind.REFUND: -1}


@frozen(kw_only=True)
class OverallStatus:
    """``burn_rates``: what runs up costs now, a price for each currency; what is prepaid does not.

    ``spent`` since ``month``, its beginning (UTC), by the ledger; ``budget``: the limit for that as it is written,
    empty without one. ``searched_at``: when machines that nobody here knows were searched for last.
    """

    leases: Sequence[Lease]
    volumes: Sequence[Volume]
    burn_rates: Sequence[UnitPrice]
    unpriced: int
    month: datetime
    spent: Sequence[Money]
    budget: str
    balances: Sequence[SavedBalance]
    trips: Sequence[TripRecord]
    searched_at: datetime | None
    now: datetime


@frozen
class StatusReader:
    store: Store
    settings: Settings
    registry: PluginRegistry
    clock: Clock

    async def read_status(self) -> OverallStatus:
        now = self.clock.now()
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        leases = await self.store.list_open_leases()
        volumes = [volume for volume in await self.store.list_volumes() if not volume.is_over]
        prices = [lease.current_price for lease in leases if drains_balance(lease)]
        prices += [volume.price for volume in volumes if volume.price is not None]
        balances = [
            await self.store.find_last_balance(name, "") for name in self.registry.get_entries(BillingEntry)
        ]
        return OverallStatus(
            leases=leases,
            volumes=volumes,
            burn_rates=_sum_by_currency([price for price in prices if price.is_known]),
            unpriced=sum(not price.is_known for price in prices),
            month=month,
            spent=await self._sum_spending(month),
            budget=self.settings.get("budget", "month"),
            balances=[balance for balance in balances if balance is not None],
            trips=[trip for trip in await self.store.list_open_trips() if trip.kind != "guard"],
            searched_at=await self.store.find_orphan_search_time(),
            now=now,
        )

    async def _sum_spending(self, since: datetime) -> list[Money]:
        sums: dict[Currency, int] = {}
        for movement in await self.store.summaries.list_movements(since=since):
            sign = _SPENT_SIGNS.get(movement.kind, 0)
            if sign:
                currency = movement.money.currency
                sums[currency] = sums.get(currency, 0) + sign * movement.money.amount
        return [Money(amount, currency) for currency, amount in sums.items()]


def _sum_by_currency(prices: Sequence[UnitPrice]) -> list[UnitPrice]:
    found: dict[Currency, list[UnitPrice]] = {}
    for price in prices:
        found.setdefault(price.currency, []).append(price)
    return [sum_prices(same) for same in found.values()]

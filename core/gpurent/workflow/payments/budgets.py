"""Budgets, as hard limits: per trip, and per month for one provider or for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine
from gpurent.domain.money import Currency, Money
from gpurent.domain.money_text import make_money, parse_amount, with_precision
from gpurent.domain.offer import Bill
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.provider_names import list_sections
from gpurent.domain.receipt import ReceiptTotal, sum_charges
from gpurent.errors import BudgetExceeded, GpurentError, UsageError
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.ports.system import Clock
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.meters import Meters
from gpurent.workflow.payments.rates import ExchangeRates, RateLookup
from gpurent.workflow.payments.trip_spending import is_bill_authorized
from gpurent.workflow.payments.volume_books import VolumeBooks
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.trip_chain import list_earlier_trips

MAX_CONCURRENT = 8


@frozen(kw_only=True)
class BudgetLimit:
    """A limit of ``money``: for ``trips`` that go on with one another's work, and their leases; or for a provider
    (empty: all of them) from ``since`` on.
    """

    name: str
    money: Money
    leases: tuple[Lease, ...] = ()
    trips: tuple[str, ...] = ()
    provider: str = ""
    since: datetime | None = None


@frozen(kw_only=True)
class BudgetStatus:
    """A limit and how much of it is ``used``, in its own currency and rounded up; held deposits count as used."""

    limit: BudgetLimit
    used: Money

    @property
    def left(self) -> Money:
        return self.limit.money - self.used


@frozen
class Budgets:
    store: Store
    settings: Settings
    clock: Clock
    bookkeeping: Bookkeeping
    rates: ExchangeRates
    meters: Meters
    volumes: VolumeBooks

    # checks

    async def check_budgets(
        self, provider: str, amount: Money, *, trip: str = "", key: str = "", sync: bool = True
    ) -> None:
        """Raise `BudgetExceeded` if ``amount`` more would exceed a budget of the trip or the month; nothing is spent.

        ``key`` names the bill that ``amount`` is for, so that it is not counted twice. If ``sync`` is false, use the
        ledger as it is, without asking the providers. Raises `MoneyError` if a limit cannot be converted for lack of an
        exchange rate: nothing passes unchecked.
        """
        for status in await self.list_statuses(provider, trip=trip, key=key, sync=sync):
            await self.check_limit(status, amount)

    async def check_limit(self, status: BudgetStatus, amount: Money) -> None:
        """Raise `BudgetExceeded` if ``amount`` more would exceed this limit."""
        limit = status.limit
        conversion = await self.rates.get_conversion(amount.currency, limit.money.currency)
        if status.used + conversion.convert(amount) > limit.money:
            raise BudgetExceeded(
                _("this needs {amount}, but only {left} of the {name} ({limit}) is left").format(
                    amount=amount,
                    name=limit.name,
                    limit=limit.money,
                    left=max(status.left, limit.money.currency.zero),
                ),
                hint=_("A deposit counts as used while it is held."),
            )

    async def check_metered_lease(self, lease: Lease, used: Money, *, trip: str = "") -> None:
        """Raise `BudgetExceeded` if a metered lease that has used ``used`` exceeds a budget.

        Makes no requests to providers. What is already in the ledger is not counted twice. A limit that cannot be
        checked hides no other: its error is raised only if no limit is exceeded.
        """
        booked = [
            x for x in await self.bookkeeping.sum_spending(lease=lease.id) if x.currency == used.currency
        ]
        unbooked = used - sum((total.spent for total in booked), used.currency.zero)
        unknown: GpurentError | None = None
        lookup = self.rates.start_lookup()
        for limit in await self.list_limits(lease.provider, trip):
            try:
                status = await self.get_status(limit, lookup)
                await self.check_limit(status, max(unbooked, used.currency.zero))
            except BudgetExceeded:
                raise
            except GpurentError as error:
                unknown = unknown or error
        if unknown is not None:
            raise unknown

    # authorized bills

    async def record_authorization(self, bill: AuthorizedBill) -> None:
        """Record that ``bill`` may be paid; from now on it counts as used."""
        await self.store.put_authorized_bill(bill)

    async def is_authorized(self, bill: Bill) -> bool:
        return await is_bill_authorized(self.store, bill)

    # limits

    @staticmethod
    def new_trip_status(money: Money) -> BudgetStatus:
        """Return the budget of a trip that has not begun yet."""
        limit = with_precision(money)
        return BudgetStatus(limit=BudgetLimit(name=_("budget"), money=limit), used=limit.currency.zero)

    async def list_limits(self, provider: str, trip: str = "") -> Sequence[BudgetLimit]:
        """Return the limits of the trip, of other trips on its lease, the overall month, and the provider's month.

        ``leases`` of a month are those that may have new charges; all others are in the ledger. The month is
        the current one by the clock of ``provider``, which dates its charges.
        """
        now = self.meters.clocks.clock_of(provider).now()
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        found = await self._list_trip_limits(trip)
        leases: list[Lease] | None = None
        for sections, name, whose in (
            (["budget"], _("monthly budget"), ""),
            (
                list_sections("budget", provider),
                _("monthly budget for {provider}").format(provider=provider),
                provider,
            ),
        ):
            money = self._read_month_budget(sections)
            if money is not None:
                if leases is None:
                    leases = await self._load_leases(await self.bookkeeping.list_unsettled_leases())
                mine = tuple(lease for lease in leases if whose in ("", lease.provider))
                found.append(BudgetLimit(name=name, money=money, leases=mine, provider=whose, since=month))
        return found

    def has_month_budget(self, provider: str) -> bool:
        """Return whether the user's settings limit what may be spent at ``provider`` in a month."""
        every = (["budget"], list_sections("budget", provider))
        return any(self._read_month_budget(sections) is not None for sections in every)

    async def _list_trip_limits(self, trip: str) -> list[BudgetLimit]:
        """Return the budgets of the trip, and of the other trips on its lease."""
        record = await self.store.find_trip(trip) if trip else None
        if record is None:
            return []
        records = await self.store.list_trips(record.lease) if record.lease else [record]
        found = []
        for shared in records:
            budget = shared.spec.limits.budget
            if budget is not None:
                chain = (*await list_earlier_trips(self.store, shared.id), shared)
                names = dict.fromkeys(item.lease for item in (*chain, record) if item.lease)
                leases = tuple(await self._load_leases(names))
                trips = tuple(item.id for item in chain)
                found.append(
                    BudgetLimit(name=_("budget"), money=with_precision(budget), leases=leases, trips=trips)
                )
        return found

    async def _load_leases(self, names: Iterable[str]) -> list[Lease]:
        found = [await self.store.find_lease(name) for name in names]
        return [lease for lease in found if lease is not None]

    def _read_month_budget(self, sections: Sequence[str]) -> Money | None:
        """Return the budget of the first section that sets one: an account without its own has its provider's."""
        text, section = self.settings.get_first(sections, "month"), sections[0]
        if not text:
            return None
        with suppress(ValueError):
            value, code = parse_amount(text)
            if code:
                return with_precision(make_money((value, code)))
        raise UsageError(
            _("[{section}] month = {text} is not an amount with a currency").format(
                section=section, text=repr(text)
            ),
            hint=f'[{section}]\nmonth = "500CNY"',
        )

    # status

    async def list_statuses(
        self, provider: str, *, trip: str = "", key: str = "", sync: bool = True
    ) -> Sequence[BudgetStatus]:
        """Return every limit that applies to ``provider`` and the trip, with its status."""
        if sync:
            await self.sync_leases(provider, trip)
        lookup = self.rates.start_lookup()
        return [
            await self.get_status(limit, lookup, key=key) for limit in await self.list_limits(provider, trip)
        ]

    async def get_status(self, limit: BudgetLimit, lookup: RateLookup, *, key: str = "") -> BudgetStatus:
        """Return the status of one limit by the ledger as it is; raises `MoneyError` if an amount has no rate."""
        amounts = await self._booked_amounts(limit)
        for lease in limit.leases:
            amounts += await self._ordered_amounts(lease, key)
        used = await _sum_converted(limit.money.currency, amounts, lookup)
        return BudgetStatus(limit=limit, used=used)

    async def sync_leases(self, provider: str, trip: str = "") -> None:
        """Update the ledger for the leases of all limits that can still change. Call it without a lock: it may wait.

        If a provider does not answer, what was paid counts in full. For limits of a month, also what volumes cost.
        """
        limits = await self.list_limits(provider, trip)
        names = {lease.id for limit in limits for lease in limit.leases}
        unsettled = (
            [name for name in await self.bookkeeping.list_unsettled_leases() if name in names]
            if names
            else []
        )
        gate = asyncio.Semaphore(MAX_CONCURRENT)

        async def sync(name: str) -> None:
            async with gate:
                await self.bookkeeping.sync_lease(name, quiet=True)

        await asyncio.gather(*(sync(name) for name in unsettled))
        for whose in {limit.provider for limit in limits if limit.since is not None}:
            for volume in await self.volumes.list_unsettled(whose):
                await self.volumes.sync_volume(volume)

    async def _booked_amounts(self, limit: BudgetLimit) -> list[Money]:
        """Return what was spent in the limit's period, and what is held now, whenever it was paid."""
        if limit.since is None:
            found = [line for trip in limit.trips for line in await self.bookkeeping.list_lines(trip=trip)]
            found += [
                line for lease in limit.leases for line in await self.bookkeeping.list_lines(lease=lease.id)
            ]
            return [_used_amount(total, total) for total in _unique_totals(found)]
        ever = await self.bookkeeping.sum_spending(provider=limit.provider)
        month = await self.bookkeeping.sum_spending(provider=limit.provider, since=limit.since)
        spent = {total.currency: total for total in month}
        # Every currency of this month is also in the all-time totals.
        return [_used_amount(spent.get(total.currency), total) for total in ever]

    async def _ordered_amounts(self, lease: Lease, key: str) -> list[Money]:
        """Return the authorized bills, possibly of another process, that are not in the ledger yet."""
        found = []
        for bill in lease.bills:
            if bill.key == key:
                continue
            if await self.is_authorized(bill) and await self.store.find_recorded_payment(bill.key) is None:
                found.append(bill.amount)
        return found


def _used_amount(spent: ReceiptTotal | None, held: ReceiptTotal) -> Money:
    """Return spent plus held, each at least zero: a refund from an earlier month frees no budget in this one."""
    zero = held.currency.zero
    return max(spent.spent if spent else zero, zero) + max(held.held, zero)


def _unique_totals(lines: Iterable[LedgerLine]) -> Sequence[ReceiptTotal]:
    """Sum the lines; one that was found by both its trip and its lease counts once."""
    once = {(line.last.provider, line.last.ref, line.last.kind): line for line in lines}
    return sum_charges(line.charge for line in once.values() if line.money.amount)


async def _sum_converted(currency: Currency, amounts: Iterable[Money], lookup: RateLookup) -> Money:
    found = currency.zero
    for money in amounts:
        found += (await lookup.get_conversion(money.currency, currency)).convert(money)
    return found

"""What metered leases have used: by the provider's own statement where it keeps one, else by the clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal, localcontext
from fractions import Fraction

from attrs import define, evolve, field, frozen

from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease
from gpurent.domain.money import HOUR, MICROSECOND, Money, UnitPrice
from gpurent.domain.offer import Metered
from gpurent.domain.receipt import ChargeKind
from gpurent.errors import GpurentError
from gpurent.locale import N_, _
from gpurent.ports.system import ProviderClocks
from gpurent.ports.watch_store import MeterStore
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.plugins import Plugins

# How often a provider is asked, and how old its answer may be before gpurent counts by itself.
READ_INTERVAL = timedelta(minutes=5)
MAX_READING_AGE = timedelta(minutes=20)
OWN_COUNT_TEXT = N_("Counted by gpurent from time and price; the provider's statement does not say more.")
_PRICE_STEP = Decimal("1e-12")


@frozen(kw_only=True)
class MeterReading:
    """``used`` so far, and the ``price`` to expect from here on.

    ``is_own_count``: counted by gpurent from time and price, because no current statement says more. ``problem``: why
    the statement could not be read, if that lasts.
    """

    used: Money
    price: UnitPrice
    is_own_count: bool
    problem: str = ""


@define(eq=False)
class Meters:
    """Reads the meters of running leases. A meter never counts less than the provider's statement shows."""

    store: MeterStore
    plugins: Plugins
    bookkeeping: Bookkeeping
    clocks: ProviderClocks
    _asked_at: dict[str, datetime] = field(factory=dict, init=False)
    _problems: dict[str, str] = field(factory=dict, init=False)
    _reported_prices: dict[str, UnitPrice] = field(factory=dict, init=False)

    def get_time(self, lease: Lease) -> datetime:
        """Return the time by the lease's provider, which bills by its own clock."""
        return self.clocks.clock_of(lease.provider).now()

    async def read_meter(self, lease: Lease) -> MeterReading:
        """Ask the provider if the last answer is older than `READ_INTERVAL`, then estimate. Never fails."""
        now, asked_at = self.get_time(lease), self._asked_at.get(lease.id)
        if asked_at is None or not timedelta() <= now - asked_at < READ_INTERVAL:
            self._asked_at[lease.id] = now
            self._problems[lease.id] = await self._ask_provider(lease)
        return await self.estimate_meter(lease)

    async def estimate_meter(self, lease: Lease) -> MeterReading:
        """Return the reading by the last answer. Makes no requests."""
        running = await self._estimate_running(lease)
        if not lease.is_stopped or lease.offer.stopped_price is None:
            return running
        return await self._estimate_stopped(lease, running)

    async def _estimate_stopped(self, lease: Lease, running: MeterReading) -> MeterReading:
        """Count a machine that is shut down as if it had run for a while after the account was last read."""
        read_at, stopped = await self.store.find_meter_read_time(lease.id), lease.current_price
        if read_at is None:
            return evolve(running, price=stopped)
        booked, _is_running = await self._get_booked(lease, stopped)
        since = max(timedelta(), self.get_time(lease) - read_at)
        may_run = min(since, MAX_READING_AGE)
        used = booked + running.price.cost(may_run) + stopped.cost(since - may_run)
        return evolve(running, used=used, price=stopped)

    async def _estimate_running(self, lease: Lease) -> MeterReading:
        now, price = self.get_time(lease), self._highest_price(lease)
        if lease.started_at is None:
            return MeterReading(used=price.currency.zero, price=price, is_own_count=True)
        booked, is_running = await self._get_booked(lease, price)
        read_at = await self.store.find_meter_read_time(lease.id)
        if read_at is not None:
            price = max(price, _observed_price(lease, booked, read_at - lease.started_at), key=_per_hour)
            # Only a running meter in the statement shows that it is up to date, not settled once a day.
            if is_running and price.is_known and timedelta() <= now - read_at <= MAX_READING_AGE:
                return MeterReading(used=booked + price.cost(now - read_at), price=price, is_own_count=False)
        if not price.is_known:
            problem = _("{lease}: its price is not known, so what it costs is not counted").format(
                lease=lease.id
            )
            return MeterReading(used=booked, price=price, is_own_count=True, problem=problem)
        is_overdue = now - (read_at or lease.started_at) > MAX_READING_AGE
        return MeterReading(
            used=max(price.cost(now - lease.started_at), booked),
            price=price,
            is_own_count=True,
            problem=self._problems.get(lease.id, "") if is_overdue else "",
        )

    def forget_lease(self, lease: str) -> None:
        """Drop the last answers about ``lease``."""
        for answers in (self._asked_at, self._problems, self._reported_prices):
            answers.pop(lease, None)

    def _highest_price(self, lease: Lease) -> UnitPrice:
        """Return the higher of the price that was ordered and the one that the provider reports now."""
        ordered = lease.offer.tariff.price
        reported = self._reported_prices.get(lease.id, ordered)
        return max(ordered, reported, key=_per_hour) if reported.currency == ordered.currency else ordered

    async def _get_booked(self, lease: Lease, price: UnitPrice) -> tuple[Money, bool]:
        """Return what the ledger shows as spent in the price's currency, and whether a meter is running there."""
        totals = await self.bookkeeping.sum_spending(lease=lease.id)
        zero = price.currency.zero
        booked = sum((total.spent for total in totals if total.currency == price.currency), zero)
        is_running = any(
            line.last.growing and line.last.kind is ChargeKind.USAGE and line.money.currency == price.currency
            for line in await self.bookkeeping.list_lines(lease=lease.id)
        )
        return max(booked, zero), is_running

    async def _ask_provider(self, lease: Lease) -> str:
        """Enter the lease's charges; read its current price too from a provider without a statement."""
        if not self.plugins.is_known_to_provider(lease) or lease.started_at is None:
            return ""
        reason = await self.bookkeeping.sync_lease(lease.id, quiet=True)
        if not reason:
            await self.store.put_meter_read_time(lease.id, self.get_time(lease))
        if self.bookkeeping.has_statement(lease.provider):
            return reason
        try:
            listed = await self.plugins.provider_of(lease).list_leases()
        except GpurentError as error:
            return error.message
        if not isinstance(listed, Known):
            return listed.reason
        for found in listed.items:
            if found.ref and found.ref == lease.ref:
                self._reported_prices[lease.id] = found.offer.tariff.price
        return ""


def _per_hour(price: UnitPrice) -> Fraction:
    return Fraction(price.value) * Fraction(HOUR // MICROSECOND, price.per // MICROSECOND)


def _observed_price(lease: Lease, booked: Money, span: timedelta) -> UnitPrice:
    """Return the least price at which ``booked`` was used up within ``span``; the last increment may be just begun."""
    tariff = lease.offer.tariff
    increment = tariff.billing_increment if isinstance(tariff, Metered) else HOUR
    exact = Fraction(booked.decimal) * Fraction(
        HOUR // MICROSECOND, max(span + increment, increment) // MICROSECOND
    )
    with localcontext(prec=60):
        value = (Decimal(exact.numerator) / exact.denominator).quantize(_PRICE_STEP, ROUND_UP)
    return UnitPrice(value, booked.currency)

"""Costs by day, provider, GPU or trip, converted only with the rates recorded in the entries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from attrs import evolve, field, frozen

from gpurent.domain.ledger import Transaction
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.summaries import LeasePeriod, LedgerMovement
from gpurent.errors import MoneyError
from gpurent.ports.store import Store
from gpurent.ports.system import Clock
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.volume_books import VolumeBooks
from gpurent.workflow.reports.ledger_check import LedgerCheck
from gpurent.workflow.reports.ledger_findings import LedgerFinding
from gpurent.workflow.reports.receipts import list_idle_spans

_SPENT_KINDS = (ChargeKind.USAGE, ChargeKind.RENEWAL, ChargeKind.FEE)
_GROUP_KEYS: Mapping[str, Callable[[Transaction | LedgerMovement], str]] = MappingProxyType(
    {
        "day": lambda entry: f"{entry.at.astimezone(UTC):%Y-%m-%d}",
        "provider": lambda entry: entry.provider,
        "gpu": lambda entry: entry.gpu or "-",
        "trip": lambda entry: entry.trip or "-",
    }
)
GROUPINGS = tuple(_GROUP_KEYS)


@frozen(kw_only=True)
class Expense:
    """One movement: spent (positive ``money``) or refunded (negative) at ``provider``; ``rate``: how it was converted.

    ``is_unconverted``: a conversion was requested, but the entry has no suitable rate.
    """

    at: datetime
    key: str
    money: Money
    lease: str
    provider: str = ""
    rate: Rate | None = None
    is_unconverted: bool = False


@frozen(kw_only=True)
class CostRow:
    key: str
    money: Money


@frozen(kw_only=True)
class Costs:
    """Costs grouped by ``by``: ``rows`` by key, ``totals`` one per currency, and the ``rates`` that were used.

    ``unconverted`` is what could not be converted; ``failed_starts`` is the part of the totals that was paid for
    machines that never answered and were given back.
    """

    by: str
    movements: tuple[Expense, ...]
    rows: tuple[CostRow, ...]
    totals: tuple[Money, ...]
    rates: tuple[Rate, ...] = ()
    unconverted: tuple[Money, ...] = ()
    failed_starts: tuple[Money, ...] = ()


@frozen(kw_only=True)
class LeaseSpan:
    """The time span of a lease and its cost in one currency, for the charts."""

    lease: str
    since: datetime
    until: datetime
    money: Money


@frozen(kw_only=True)
class UsageHistory:
    """Data for the charts besides the rows: lease spans, and the paid but idle time of each lease."""

    spans: tuple[LeaseSpan, ...] = ()
    idle: Mapping[str, tuple[tuple[str, timedelta], ...]] = field(factory=dict)


def group_costs(
    entries: Iterable[Transaction | LedgerMovement],
    by: str,
    code: str = "",
    failed_starts: Collection[str] = (),
) -> Costs:
    """Group what was spent; with ``code``, convert each movement at its own rate and round it up once.

    ``failed_starts``: the leases whose machine never answered.
    """
    movements = [
        _make_expense(entry, _GROUP_KEYS[by](entry), code)
        for entry in entries
        if entry.money.amount and (entry.kind in _SPENT_KINDS or entry.kind is ChargeKind.REFUND)
    ]
    movements.sort(key=lambda item: item.at)
    sums: dict[tuple[str, Currency], Money] = {}
    for item in movements:
        found = (item.key, item.money.currency)
        sums[found] = sums.get(found, item.money.currency.zero) + item.money
    rows = [CostRow(key=key, money=money) for (key, _currency), money in sums.items()]
    rates = {(item.rate.value, item.rate.at): item.rate for item in movements if item.rate}
    return Costs(
        by=by,
        movements=tuple(movements),
        rows=tuple(sorted(rows, key=lambda row: (row.key, row.money.currency.code))),
        totals=_sum_by_currency(item.money for item in movements),
        rates=tuple(sorted(rates.values(), key=lambda rate: rate.at)),
        unconverted=_sum_by_currency(item.money for item in movements if item.is_unconverted),
        failed_starts=_sum_by_currency(item.money for item in movements if item.lease in failed_starts),
    )


def _sum_by_currency(every: Iterable[Money]) -> tuple[Money, ...]:
    sums: dict[Currency, Money] = {}
    for money in every:
        sums[money.currency] = sums.get(money.currency, money.currency.zero) + money
    return tuple(sums[currency] for currency in sorted(sums, key=lambda currency: currency.code))


def _make_expense(entry: Transaction | LedgerMovement, key: str, code: str) -> Expense:
    money = -entry.money if entry.kind is ChargeKind.REFUND else entry.money
    plain = Expense(at=entry.at, key=key, money=money, lease=entry.lease, provider=entry.provider)
    if not code or money.currency.code == code:
        return plain
    rate = entry.rate
    if rate is None or code not in (rate.base.code, rate.quote.code):
        return evolve(plain, is_unconverted=True)
    try:
        # Convert the absolute value, so that a reversal cancels exactly what was converted.
        size = rate.convert(money if money.amount > 0 else -money)
    except MoneyError:
        # The rate is zero or for other currencies: do not guess.
        return evolve(plain, is_unconverted=True)
    return evolve(plain, money=size if money.amount > 0 else -size, rate=rate)


def make_lease_spans(found: Costs, periods: Sequence[LeasePeriod], now: datetime) -> tuple[LeaseSpan, ...]:
    spent: dict[str, list[Money]] = {}
    for item in found.movements:
        spent.setdefault(item.lease, []).append(item.money)
    made = []
    for period in periods:
        if period.started_at is None:
            continue
        until = period.ended_at or (period.expires_at if period.is_over else None) or now
        made += [
            LeaseSpan(lease=period.lease, since=period.started_at, until=until, money=money)
            for money in _sum_by_currency(spent.get(period.lease, ()))
            if money.amount > 0 and until > period.started_at
        ]
    return tuple(made)


@frozen(kw_only=True)
class CostReport:
    """Costs and usage. ``sync_errors``: why the latest charges may be missing, by lease or provider.

    ``damage``: why the ledger itself cannot be believed.
    """

    costs: Costs
    history: UsageHistory
    sync_errors: Mapping[str, str]
    damage: tuple[LedgerFinding, ...] = ()


@frozen
class CostReports:
    store: Store
    bookkeeping: Bookkeeping
    volumes: VolumeBooks
    clock: Clock
    check: LedgerCheck

    async def make_report(
        self,
        by: str,
        code: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        offline: bool = False,
        with_history: bool = True,
    ) -> CostReport:
        """Report costs grouped ``by`` day, provider, gpu or trip; ``offline``: from the ledger only, no requests.

        ``with_history``: also what the charts need.
        """
        behind = {} if offline else {**await self.volumes.sync_all(), **await self.bookkeeping.sync_all()}
        summaries = self.store.summaries
        movements = await summaries.list_movements(since=since, until=until)
        costs = group_costs(movements, by, code, await summaries.list_failed_starts())
        history = UsageHistory()
        if with_history:
            spans = make_lease_spans(costs, await summaries.list_lease_periods(), self.clock.now())
            history = UsageHistory(spans=spans, idle=await list_idle_spans(self.store))
        damage = tuple(await self.check.find_damage())
        return CostReport(costs=costs, history=history, sync_errors=behind, damage=damage)

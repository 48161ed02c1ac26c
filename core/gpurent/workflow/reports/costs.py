"""What was spent, by day, provider, GPU or trip; converted only by the rates that stand in the entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from attrs import evolve, field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.ledger import Transaction
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.errors import MoneyError
from gpurent.workflow.runtime.desk import Desk

_SPENT = (ChargeKind.USE, ChargeKind.RENEWAL, ChargeKind.FEE)
_KEYS: Mapping[str, Callable[[Transaction], str]] = MappingProxyType(
    {
        "day": lambda entry: f"{entry.at.astimezone(UTC):%Y-%m-%d}",
        "provider": lambda entry: entry.provider,
        "gpu": lambda entry: entry.gpu or "-",
        "trip": lambda entry: entry.trip or "-",
    }
)
WAYS = tuple(_KEYS)


@frozen(kw_only=True)
class Spent:
    """One movement that was spent (``money`` above zero) or came back (below), and the ``rate`` it was converted by.

    ``lacking``: a conversion was asked for and the entry has no rate that could do it.
    """

    at: datetime
    key: str
    money: Money
    lease: str
    rate: Rate | None = None
    lacking: bool = False


@frozen(kw_only=True)
class Row:
    """``money`` of one ``key`` in one currency."""

    key: str
    money: Money


@frozen(kw_only=True)
class Costs:
    """``rows`` by key; ``totals`` one a currency; ``rates`` that were used; ``lacking`` is what none could convert."""

    by: str
    movements: tuple[Spent, ...]
    rows: tuple[Row, ...]
    totals: tuple[Money, ...]
    rates: tuple[Rate, ...] = ()
    lacking: tuple[Money, ...] = ()


@frozen(kw_only=True)
class Stretch:
    """A lease's time and what it cost in one currency: ``hours`` at an even ``rate`` an hour, for the charts."""

    lease: str
    since: datetime
    until: datetime
    money: Money


@frozen(kw_only=True)
class Story:
    """What the page shows besides the rows: leases in time, and paid but idle time by lease."""

    stretches: tuple[Stretch, ...] = ()
    idle: Mapping[str, tuple[tuple[str, timedelta], ...]] = field(factory=dict)


def costs(entries: Iterable[Transaction], by: str, code: str = "") -> Costs:
    """Group what was spent; with ``code`` each movement is converted by its own rate, rounded up once."""
    movements = [
        _spent(entry, _KEYS[by](entry), code)
        for entry in entries
        if entry.money.amount and (entry.kind in _SPENT or entry.kind is ChargeKind.REFUND)
    ]
    movements.sort(key=lambda item: item.at)
    sums: dict[tuple[str, Currency], Money] = {}
    for item in movements:
        found = (item.key, item.money.currency)
        sums[found] = sums.get(found, item.money.currency.zero) + item.money
    rates = {(item.rate.value, item.rate.at): item.rate for item in movements if item.rate}
    return Costs(
        by=by,
        movements=tuple(movements),
        rows=tuple(Row(key=key, money=money) for (key, _currency), money in sorted(sums.items(), key=_order)),
        totals=_sum(item.money for item in movements),
        rates=tuple(sorted(rates.values(), key=lambda rate: rate.at)),
        lacking=_sum(item.money for item in movements if item.lacking),
    )


def _order(item: tuple[tuple[str, Currency], Money]) -> tuple[str, str]:
    (key, currency), _money = item
    return key, currency.code


def _sum(every: Iterable[Money]) -> tuple[Money, ...]:
    sums: dict[Currency, Money] = {}
    for money in every:
        sums[money.currency] = sums.get(money.currency, money.currency.zero) + money
    return tuple(sums[currency] for currency in sorted(sums, key=lambda currency: currency.code))


def _spent(entry: Transaction, key: str, code: str) -> Spent:
    money = -entry.money if entry.kind is ChargeKind.REFUND else entry.money
    plain = Spent(at=entry.at, key=key, money=money, lease=entry.lease)
    if not code or money.currency.code == code:
        return plain
    rate = entry.rate
    if rate is None or code not in (rate.base.code, rate.quote.code):
        return evolve(plain, lacking=True)
    try:
        # By size, so that a reversal takes back just what was converted.
        size = rate.convert(money if money.amount > 0 else -money)
    except MoneyError:
        # A rate of zero, or one between two other currencies: never guessed around.
        return evolve(plain, lacking=True)
    return evolve(plain, money=size if money.amount > 0 else -size, rate=rate)


def stretches(found: Costs, leases: Sequence[Lease], now: datetime) -> tuple[Stretch, ...]:
    """Each lease that ran, with what it cost, in the currency of ``found``."""
    made = []
    for lease in leases:
        if lease.started_at is None:
            continue
        until = lease.ended_at or (lease.expires_at if lease.over else None) or now
        spent = _sum(item.money for item in found.movements if item.lease == lease.id)
        made += [
            Stretch(lease=lease.id, since=lease.started_at, until=until, money=money)
            for money in spent
            if money.amount > 0 and until > lease.started_at
        ]
    return tuple(made)


def story(
    found: Costs,
    leases: Sequence[Lease],
    now: datetime,
    idle: Mapping[str, tuple[tuple[str, timedelta], ...]],
) -> Story:
    """For the charts; ``idle`` by lease."""
    return Story(
        stretches=stretches(found, leases, now), idle={name: spans for name, spans in idle.items() if spans}
    )


async def up_to_date(desk: Desk) -> dict[str, str]:
    """Bring the ledger up to date with every lease that may have changed; the reason by lease or account why not."""
    problems: dict[str, str] = {}
    for row in desk.journal.trips():
        desk.books.note_payments(row.id)
    for lease in desk.journal.leases():
        if not _settled(desk, lease):
            reason = await desk.books.sync(lease.id, quiet=True)
            if reason:
                problems[lease.id] = reason
    for name in desk.books.providers():
        reason = await desk.books.sync_account(name)
        if reason:
            problems[name] = reason
    return problems


def _settled(desk: Desk, lease: Lease) -> bool:
    """Over, with nothing on a meter, on hold or locked: its shop has nothing new to tell."""
    if not lease.over:
        return False
    found = [line for line in desk.books.lines(lease=lease.id) if line.money.amount]
    held = any(total.held.amount for total in desk.books.spending(lease=lease.id))
    return bool(found) and not held and not any(line.last.growing for line in found)

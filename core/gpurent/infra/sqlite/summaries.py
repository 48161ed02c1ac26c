"""Summaries of the Store's tables: each is one statement, however many trips there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gpurent.domain.lease import OVER_STATES
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.summaries import LeasePeriod, LedgerMovement, StepTime
from gpurent.infra.sqlite.codec import loads
from gpurent.infra.sqlite.sql_access import TableAccess

_OVER = frozenset(state.value for state in OVER_STATES)
_HELD_SIGNS = {ChargeKind.DEPOSIT.value: 1, ChargeKind.HOLD.value: 1, ChargeKind.DEPOSIT_REFUND.value: -1}
_TIMED_STEPS = "(s.name LIKE '%.launch' OR s.name LIKE '%.monitor')"
_IDLE_STEPS = (
    f"({_TIMED_STEPS} OR s.name LIKE '%.upload' OR s.name LIKE '%.setup' OR s.name = 'release'"
    " OR s.name LIKE 'restart%')"
)


class SqliteSummaries:
    """Implements `gpurent.ports.store.SummaryStore`."""

    def __init__(self, database: TableAccess) -> None:
        self._database = database

    async def list_unbooked_trips(self) -> Sequence[str]:
        rows = self._database.fetch_rows(
            "SELECT DISTINCT trip FROM payments WHERE proof IS NOT NULL"
            " AND proof NOT IN (SELECT ref FROM entries UNION ALL SELECT '') ORDER BY authorized_at, rowid"
        )
        return [trip for (trip,) in rows]

    async def list_fee_payments(self, provider: str) -> Sequence[tuple[str, str]]:
        rows = self._database.fetch_rows(
            "SELECT trip, proof FROM payments WHERE lease = '' AND provider = ? AND proof IS NOT NULL"
            " ORDER BY authorized_at, rowid",
            provider,
        )
        return [(trip, proof) for trip, proof in rows]

    async def list_lease_periods(self) -> Sequence[LeasePeriod]:
        rows = self._database.fetch_rows(
            "SELECT id, provider, state, json_extract(value, '$.declared') IS NOT NULL,"
            " json_extract(value, '$.started_at'), json_extract(value, '$.ended_at'),"
            " json_extract(value, '$.expires_at'), json_extract(value, '$.books_closed_at')"
            " FROM lease_records ORDER BY rowid"
        )
        return [
            LeasePeriod(name, provider, state in _OVER, bool(adopted), *map(_parse_time, times))
            for name, provider, state, adopted, *times in rows
        ]

    async def list_failed_starts(self) -> frozenset[str]:
        rows = self._database.fetch_rows(
            "SELECT id FROM lease_records WHERE json_extract(value, '$.start_failed_at') IS NOT NULL"
        )
        return frozenset(name for (name,) in rows)

    async def list_settled_leases(self) -> frozenset[str]:
        # Amounts are text, because sums may exceed 64 bits: they are added here.
        lines: dict[tuple[str, str, str, str, str], int] = {}
        growing: dict[tuple[str, str, str, str, str], bool] = {}
        for lease, provider, ref, kind, part_grows, currency, amount in self._database.fetch_rows(
            "SELECT e.lease, e.provider, e.ref, e.kind, e.growing, p.currency || p.exponent, p.amount FROM entries e"
            " JOIN postings p ON p.entry = e.id AND p.line = 0 WHERE e.lease <> '' ORDER BY e.id"
        ):
            key = (lease, provider, ref, kind, currency)
            lines[key] = lines.get(key, 0) - int(amount)
            growing[key] = bool(part_grows)
        held: dict[tuple[str, str], int] = {}
        charged, unsettled = set(), set()
        for line, total in lines.items():
            lease, kind, currency = line[0], line[3], line[4]
            held[lease, currency] = held.get((lease, currency), 0) + _HELD_SIGNS.get(kind, 0) * total
            if total:
                charged.add(lease)
                if growing[line]:
                    unsettled.add(lease)
        unsettled |= {lease for (lease, _currency), total in held.items() if total}
        return frozenset(charged - unsettled)

    async def list_movements(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[LedgerMovement]:
        rows = self._database.fetch_rows(
            "SELECT e.at, e.kind, e.provider, e.lease, e.trip, e.gpu, e.rate, p.currency, p.exponent, p.amount"
            " FROM entries e JOIN postings p ON p.entry = e.id AND p.line = 0"
            " WHERE e.at >= ? AND (e.at < ? OR ? = '') ORDER BY e.id",
            *(_format_time(since), _format_time(until), _format_time(until)),
        )
        currencies: dict[tuple[str, int], Currency] = {}
        rates: dict[str, Rate] = {}
        return [_parse_movement(row, currencies, rates) for row in rows]

    async def list_step_times(self, trip: str = "") -> Sequence[StepTime]:
        rows = self._database.fetch_rows(
            "SELECT s.trip, t.lease, s.name, s.started_at, s.done_at,"  # noqa: S608 - constants
            f" CASE WHEN {_TIMED_STEPS} THEN json_extract(s.value, '$.at') END"
            " FROM trip_records t JOIN steps s ON s.trip = t.id"
            f" WHERE s.done_at IS NOT NULL AND {_IDLE_STEPS} AND (t.id = ? OR ? = '')"
            " ORDER BY t.started_at, t.rowid, s.rowid",
            *(trip, trip),
        )
        return [
            StepTime(
                name_of_trip,
                lease,
                name,
                datetime.fromisoformat(started),
                datetime.fromisoformat(done),
                _parse_time(at),
            )
            for name_of_trip, lease, name, started, done, at in rows
        ]


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _format_time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at is not None else ""


def _parse_movement(
    row: Any, currencies: dict[tuple[str, int], Currency], rates: dict[str, Rate]
) -> LedgerMovement:
    at, kind, provider, lease, trip, gpu, rate, code, exponent, amount = row
    currency = currencies.get((code, exponent))
    if currency is None:
        currency = currencies[code, exponent] = Currency(code, exponent)
    if rate and rate not in rates:
        rates[rate] = loads(rate, Rate)
    return LedgerMovement(
        datetime.fromisoformat(at),
        ChargeKind(kind),
        provider,
        lease,
        trip,
        gpu,
        rates[rate] if rate else None,
        Money(-int(amount), currency),
    )

"""The ledger's tables. Entries can only be added and read; SQLite triggers refuse everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from gpurent.domain.ledger import LedgerAccount, Posting, Transaction
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.database import Database

_COLUMNS = "id, at, kind, provider, ref, part, reversal, growing, lease, trip, gpu, note, rate"
_CONDITIONS = {
    "provider": "provider = ?",
    "ref": "ref = ?",
    "lease": "lease = ?",
    "trip": "trip = ?",
    "since": "at >= ?",
    "until": "at < ?",
}
_INSERT = f"INSERT INTO entries ({_COLUMNS}, entered_at) VALUES ({', '.join('?' * 14)})"  # noqa: S608


class SqliteLedger:
    """Implements `gpurent.ports.store.LedgerStore` in the Store's file. ``now`` is the provider's clock."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add_transactions(self, transactions: Iterable[Transaction]) -> int:
        with self._database.write_transaction():
            return self._insert_new(transactions)

    def add_payments(self, payments: Sequence[Sequence[Transaction]]) -> int:
        with self._database.write_transaction():
            return self._insert_new(
                entry
                for entries in payments
                if not self._has_ref(entries[0].provider, entries[0].ref)
                for entry in entries
            )

    def _insert_new(self, transactions: Iterable[Transaction]) -> int:
        """Insert what is not there yet, inside `write_transaction`; return how many were inserted."""
        entered_at = _format_time(self._now())
        entries: list[tuple[object, ...]] = []
        postings: list[tuple[object, ...]] = []
        ((last,),) = self._database.fetch_rows("SELECT coalesce(max(id), 0) FROM entries")
        for entry in self._filter_new(transactions):
            last += 1
            entries.append((last, *_make_entry_row(entry), entered_at))
            postings += [(last, *line) for line in _make_posting_rows(entry)]
        self._database.execute_many("INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?)", postings)
        self._database.execute_many(_INSERT, entries)
        return len(entries)

    def _filter_new(self, transactions: Iterable[Transaction]) -> Iterable[Transaction]:
        seen = set()
        for entry in transactions:
            provider, ref, kind, part = entry.key
            if entry.key not in seen and not self._database.fetch_rows(
                "SELECT 1 FROM entries WHERE provider = ? AND ref = ? AND kind = ? AND part = ?",
                provider,
                ref,
                kind.value,
                part,
            ):
                seen.add(entry.key)
                yield entry

    def _has_ref(self, provider: str, ref: str) -> bool:
        return bool(
            self._database.fetch_rows("SELECT 1 FROM entries WHERE provider = ? AND ref = ?", provider, ref)
        )

    def list_providers(self) -> Sequence[str]:
        return [
            name for (name,) in self._database.fetch_rows("SELECT DISTINCT provider FROM entries ORDER BY 1")
        ]

    def list_transactions(
        self,
        *,
        provider: str = "",
        lease: str = "",
        trip: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        ref: str = "",
    ) -> Sequence[Transaction]:
        wanted = {
            "provider": provider,
            "ref": ref,
            "lease": lease,
            "trip": trip,
            "since": _format_time(since) if since else "",
            "until": _format_time(until) if until else "",
        }
        given = {name: value for name, value in wanted.items() if value}
        # Only constant text is put into the statement; values are bound.
        where = " AND ".join(_CONDITIONS[name] for name in given) or "1"
        rows = self._database.fetch_rows(
            f"SELECT {_COLUMNS} FROM entries WHERE {where} ORDER BY id",  # noqa: S608
            *given.values(),
        )
        postings: dict[int, list[Posting]] = {}
        for entry, account, currency, exponent, amount in self._database.fetch_rows(
            "SELECT entry, account, currency, exponent, amount FROM postings"  # noqa: S608
            f" WHERE entry IN (SELECT id FROM entries WHERE {where}) ORDER BY entry, line",
            *given.values(),
        ):
            money = Money(int(amount), _make_currency(currency, exponent))
            postings.setdefault(entry, []).append(Posting(_make_account(account), money))
        return [_parse_entry(row, postings[row[0]]) for row in rows]


@cache
def _make_account(name: str) -> LedgerAccount:
    return LedgerAccount(name)


@cache
def _make_currency(code: str, exponent: int) -> Currency:
    return Currency(code, exponent)


def _format_time(at: datetime) -> str:
    """Format a time as text that sorts chronologically."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _make_entry_row(entry: Transaction) -> tuple[object, ...]:
    return (
        _format_time(entry.at),
        entry.kind.value,
        entry.provider,
        entry.ref,
        entry.part,
        int(entry.reversal),
        int(entry.growing),
        entry.lease,
        entry.trip,
        entry.gpu,
        entry.note,
        dumps(entry.rate) if entry.rate else None,
    )


def _make_posting_rows(entry: Transaction) -> Iterable[tuple[object, ...]]:
    for line, posting in enumerate(entry.postings):
        money = posting.money
        yield line, posting.account.name, money.currency.code, money.currency.exponent, str(money.amount)


def _parse_entry(row: Any, postings: list[Posting]) -> Transaction:
    return Transaction(
        at=datetime.fromisoformat(row[1]),
        kind=ChargeKind(row[2]),
        provider=row[3],
        ref=row[4],
        part=row[5],
        reversal=bool(row[6]),
        growing=bool(row[7]),
        lease=row[8],
        trip=row[9],
        gpu=row[10],
        note=row[11],
        rate=loads(row[12], Rate) if row[12] else None,
        postings=tuple(postings),
    )

"""The ledger's tables. Entries can only be added and read; SQLite triggers refuse everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from gpurent.domain.ledger import LedgerAccount, Posting, Transaction
from gpurent.domain.ledger_chain import BrokenEntry, LedgerHead, hash_entry
from gpurent.domain.money import Currency, Money, Rate
from gpurent.domain.receipt import ChargeKind
from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.ledger_chain_rows import (
    CHAINED_COLUMNS,
    find_broken_link,
    find_last_link,
    find_link,
    list_heads,
)
from gpurent.infra.sqlite.sql_access import TableAccess

_COLUMNS = f"id, {CHAINED_COLUMNS}"
_SAME_ACCOUNT = "(account IN (?, '') OR ? = '')"
_CONDITIONS = {
    "provider": "provider = ?",
    "account": "account IN (?, '')",
    "ref": "ref = ?",
    "lease": "lease = ?",
    "trip": "trip = ?",
    "since": "at >= ?",
    "until": "at < ?",
}
_INSERT = f"INSERT INTO entries ({_COLUMNS}, chain) VALUES ({', '.join('?' * 16)})"  # noqa: S608


class SqliteLedger:
    """Implements `gpurent.ports.store.LedgerStore` in the Store's file. ``now`` is the provider's clock."""

    def __init__(self, database: TableAccess, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def add_transactions(self, transactions: Iterable[Transaction]) -> int:
        with self._database.write_transaction():
            return self._insert_new(transactions)

    async def add_payments(self, payments: Sequence[Sequence[Transaction]]) -> int:
        with self._database.write_transaction():
            return self._insert_new(
                entry
                for entries in payments
                if not self._has_ref(entries[0].provider, entries[0].account, entries[0].ref)
                for entry in entries
            )

    def _insert_new(self, transactions: Iterable[Transaction]) -> int:
        """Insert what is not there yet, inside `write_transaction`; return how many were inserted."""
        entered_at = _format_time(self._now())
        entries: list[tuple[object, ...]] = []
        postings: list[tuple[object, ...]] = []
        links: dict[tuple[str, str], str] = {}
        ((last,),) = self._database.fetch_rows("SELECT coalesce(max(id), 0) FROM entries")
        for entry in self._filter_new(transactions):
            last += 1
            row, lines = [*_make_entry_row(entry), entered_at], _make_posting_rows(entry)
            account = (entry.provider, entry.account)
            previous = links.get(account)
            if previous is None:
                previous = find_last_link(self._database, *account)
            links[account] = hash_entry(previous, row, lines)
            entries.append((last, *row, links[account]))
            postings += [(last, number, *line) for number, line in enumerate(lines)]
        self._database.execute_many("INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?)", postings)
        self._database.execute_many(_INSERT, entries)
        return len(entries)

    def _filter_new(self, transactions: Iterable[Transaction]) -> Iterable[Transaction]:
        # An account that is not known may be any: an entry without it is the same as one with it.
        seen: set[object] = set()
        for entry in transactions:
            provider, account, ref, kind, part = entry.key
            if entry.key not in seen and not self._database.fetch_rows(
                "SELECT 1 FROM entries WHERE provider = ? AND ref = ? AND kind = ? AND part = ?"  # noqa: S608
                f" AND {_SAME_ACCOUNT}",
                provider,
                ref,
                kind.value,
                part,
                account,
                account,
            ):
                seen.add(entry.key)
                yield entry

    def _has_ref(self, provider: str, account: str, ref: str) -> bool:
        """Return whether there is an entry with the provider's ``ref``; an account that is not known may be any."""
        rows = self._database.fetch_rows(
            f"SELECT 1 FROM entries WHERE provider = ? AND ref = ? AND {_SAME_ACCOUNT}",  # noqa: S608
            provider,
            ref,
            account,
            account,
        )
        return bool(rows)

    async def find_broken_entry(self) -> BrokenEntry | None:
        return find_broken_link(self._database)

    async def list_heads(self) -> Sequence[LedgerHead]:
        return list_heads(self._database)

    async def find_link(self, provider: str, account: str, number: int) -> str:
        return find_link(self._database, provider, account, number)

    async def list_providers(self) -> Sequence[str]:
        return [
            name for (name,) in self._database.fetch_rows("SELECT DISTINCT provider FROM entries ORDER BY 1")
        ]

    async def list_transactions(
        self,
        *,
        provider: str = "",
        account: str = "",
        lease: str = "",
        trip: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        ref: str = "",
    ) -> Sequence[Transaction]:
        wanted = {
            "provider": provider,
            "account": account,
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
        for entry, name, currency, exponent, amount in self._database.fetch_rows(
            "SELECT entry, account, currency, exponent, amount FROM postings"  # noqa: S608
            f" WHERE entry IN (SELECT id FROM entries WHERE {where}) ORDER BY entry, line",
            *given.values(),
        ):
            money = Money(int(amount), _make_currency(currency, exponent))
            postings.setdefault(entry, []).append(Posting(_make_account(name), money))
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


def _make_entry_row(entry: Transaction) -> tuple[str | int | None, ...]:
    return (
        _format_time(entry.at),
        entry.kind.value,
        entry.provider,
        entry.account,
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


def _make_posting_rows(entry: Transaction) -> list[tuple[str | int, ...]]:
    return [
        (posting.account.name, money.currency.code, money.currency.exponent, str(money.amount))
        for posting in entry.postings
        for money in (posting.money,)
    ]


def _parse_entry(row: Any, postings: list[Posting]) -> Transaction:
    return Transaction(
        at=datetime.fromisoformat(row[1]),
        kind=ChargeKind(row[2]),
        provider=row[3],
        account=row[4],
        ref=row[5],
        part=row[6],
        reversal=bool(row[7]),
        growing=bool(row[8]),
        lease=row[9],
        trip=row[10],
        gpu=row[11],
        note=row[12],
        rate=loads(row[13], Rate) if row[13] else None,
        postings=tuple(postings),
    )

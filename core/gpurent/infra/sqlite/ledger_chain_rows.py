"""Schema 5: whose account a ledger entry belongs to, and the hash chain of each account's entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from gpurent.domain.ledger_chain import BrokenEntry, LedgerHead, hash_entry
from gpurent.infra.sqlite.sql_access import SqlAccess

# What older versions entered belongs to an account that is not known: ''. The tables are made anew, because SQLite
# cannot change what is unique in a table; the triggers come last, once the chain is written.
REBUILD_LEDGER = """
CREATE TABLE chained_entries (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
    ref TEXT NOT NULL, part INTEGER NOT NULL, reversal INTEGER NOT NULL CHECK (reversal IN (0, 1)),
    growing INTEGER NOT NULL CHECK (growing IN (0, 1)), lease TEXT NOT NULL, trip TEXT NOT NULL, gpu TEXT NOT NULL,
    note TEXT NOT NULL, rate TEXT, entered_at TEXT NOT NULL, chain TEXT NOT NULL,
    UNIQUE (provider, account, ref, kind, part)
) STRICT;
INSERT INTO chained_entries
SELECT id, at, kind, provider, '', ref, part, reversal, growing, lease, trip, gpu, note, rate, entered_at, ''
FROM entries ORDER BY id;
CREATE TABLE chained_postings (
    entry INTEGER NOT NULL REFERENCES chained_entries(id) DEFERRABLE INITIALLY DEFERRED, line INTEGER NOT NULL,
    account TEXT NOT NULL, currency TEXT NOT NULL, exponent INTEGER NOT NULL, amount TEXT NOT NULL,
    PRIMARY KEY (entry, line)
) STRICT, WITHOUT ROWID;
INSERT INTO chained_postings SELECT entry, line, account, currency, exponent, amount FROM postings;
DROP TABLE postings;
DROP TABLE entries;
ALTER TABLE chained_entries RENAME TO entries;
ALTER TABLE chained_postings RENAME TO postings;
CREATE INDEX entries_by_lease ON entries (lease);
CREATE INDEX entries_by_trip ON entries (trip);
CREATE INDEX entries_by_time ON entries (at);
CREATE INDEX entries_by_account ON entries (provider, account);
"""

CLOSE_LEDGER = """
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_keep BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_once BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE id = NEW.id OR (provider = NEW.provider AND account = NEW.account
    AND ref = NEW.ref AND kind = NEW.kind AND part = NEW.part))
BEGIN SELECT RAISE(ABORT, 'the ledger has this entry'); END;
CREATE TRIGGER entries_whole BEFORE INSERT ON entries
WHEN (SELECT count(*) FROM postings WHERE entry = NEW.id) < 2
BEGIN SELECT RAISE(ABORT, 'an entry has two postings at least'); END;
CREATE TRIGGER postings_stay BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER postings_keep BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER postings_closed BEFORE INSERT ON postings
WHEN EXISTS (SELECT 1 FROM entries WHERE id = NEW.entry)
    OR EXISTS (SELECT 1 FROM postings WHERE entry = NEW.entry AND line = NEW.line)
BEGIN SELECT RAISE(ABORT, 'this entry is closed'); END;
"""

CHAINED_COLUMNS = (
    "at, kind, provider, account, ref, part, reversal, growing, lease, trip, gpu, note, rate, entered_at"
)
_AT, _PROVIDER, _ACCOUNT, _REF = 0, 2, 3, 4
_BLOCK = 20_000


def chain_entries(database: SqlAccess) -> None:
    """Write the chain of the entries that older versions made, in the order of entry."""
    links = [(chain, row_id) for row_id, _entry, chain, _stored in _iter_chain(database)]
    database.execute_many("UPDATE entries SET chain = ? WHERE id = ?", links)


def find_broken_link(database: SqlAccess) -> BrokenEntry | None:
    """Return the first entry that does not match its chain; None if all do."""
    for number, (_row_id, entry, chain, stored) in enumerate(_iter_chain(database), 1):
        if chain != stored:
            return BrokenEntry(
                number=number,
                provider=entry[_PROVIDER],
                account=entry[_ACCOUNT],
                ref=entry[_REF],
                at=datetime.fromisoformat(entry[_AT]),
            )
    return None


def find_last_link(database: SqlAccess, provider: str, account: str) -> str:
    """Return the link of the newest entry of an account; empty if it has none."""
    rows = database.fetch_rows(
        "SELECT chain FROM entries WHERE provider = ? AND account = ? ORDER BY id DESC LIMIT 1",
        provider,
        account,
    )
    return next((str(chain) for (chain,) in rows), "")


def list_heads(database: SqlAccess) -> list[LedgerHead]:
    rows = database.fetch_rows(
        # SQLite takes the other columns from the row that has the maximum.
        "SELECT provider, account, count(*), chain, max(id) FROM entries GROUP BY provider, account"
    )
    return [
        LedgerHead(provider=provider, account=account, number=number, link=link)
        for provider, account, number, link, _id in rows
    ]


def find_link(database: SqlAccess, provider: str, account: str, number: int) -> str:
    """Return the link of an account's entry, counted from 1; empty if there is none."""
    rows = database.fetch_rows(
        "SELECT chain FROM entries WHERE provider = ? AND account = ? ORDER BY id LIMIT 1 OFFSET ?",
        provider,
        account,
        number - 1,
    )
    return next((str(chain) for (chain,) in rows), "")


def _iter_chain(database: SqlAccess) -> Iterator[tuple[int, list[Any], str, str]]:
    """Yield the id, the entry, its link as computed, and its link as stored."""
    last: dict[tuple[str, str], str] = {}
    for (row_id, *entry, stored), postings in _iter_entries(database):
        account = (entry[_PROVIDER], entry[_ACCOUNT])
        last[account] = hash_entry(last.get(account, ""), entry, postings)
        yield row_id, entry, last[account], stored


def _iter_entries(database: SqlAccess) -> Iterable[tuple[Any, list[list[Any]]]]:
    """Yield each entry with its postings, in the order of entry; reads a block of rows at a time."""
    start = 0
    while True:
        entries = database.fetch_rows(
            f"SELECT id, {CHAINED_COLUMNS}, chain FROM entries WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
            start,
            _BLOCK,
        )
        if not entries:
            return
        rows = database.fetch_rows(
            "SELECT entry, account, currency, exponent, amount FROM postings"
            " WHERE entry > ? AND entry <= ? ORDER BY entry, line",
            start,
            entries[-1][0],
        )
        postings = {entry: [list(row[1:]) for row in group] for entry, group in groupby(rows, itemgetter(0))}
        for entry in entries:
            yield entry, postings.get(entry[0], [])
        start = entries[-1][0]

"""The tables, as numbered steps: what was released is never changed, only added to."""

from __future__ import annotations

_JOURNAL = """
CREATE TABLE trips (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, want TEXT NOT NULL, lease TEXT NOT NULL DEFAULT '',
    begun_at TEXT NOT NULL, ended_at TEXT, outcome TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE steps (
    trip TEXT NOT NULL REFERENCES trips(id), name TEXT NOT NULL, begun_at TEXT NOT NULL, done_at TEXT, value TEXT,
    PRIMARY KEY (trip, name)
) STRICT;
CREATE TABLE leases (
    id TEXT PRIMARY KEY, provider TEXT NOT NULL, state TEXT NOT NULL, value TEXT NOT NULL, changed_at TEXT NOT NULL
) STRICT;
CREATE TABLE notes (scope TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (scope, name)) STRICT;
"""

# Amounts are text: 15 decimals and a rich account are more than 64 bits. A posting is written before its entry (the
# reference is checked at the commit), so that the entry closes the transaction: nothing can be added to it later.
_LEDGER = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, ref TEXT NOT NULL,
    part INTEGER NOT NULL, reversal INTEGER NOT NULL CHECK (reversal IN (0, 1)),
    growing INTEGER NOT NULL CHECK (growing IN (0, 1)), lease TEXT NOT NULL, trip TEXT NOT NULL, gpu TEXT NOT NULL,
    note TEXT NOT NULL, rate TEXT, entered_at TEXT NOT NULL, UNIQUE (provider, ref, kind, part)
) STRICT;
CREATE INDEX entries_by_lease ON entries (lease);
CREATE INDEX entries_by_trip ON entries (trip);
CREATE INDEX entries_by_time ON entries (at);
CREATE INDEX trips_by_lease ON trips (lease);
CREATE TABLE postings (
    entry INTEGER NOT NULL REFERENCES entries(id) DEFERRABLE INITIALLY DEFERRED, line INTEGER NOT NULL,
    account TEXT NOT NULL, currency TEXT NOT NULL, exponent INTEGER NOT NULL, amount TEXT NOT NULL,
    PRIMARY KEY (entry, line)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_keep BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_once BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE id = NEW.id
    OR (provider = NEW.provider AND ref = NEW.ref AND kind = NEW.kind AND part = NEW.part))
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

STEPS = (_JOURNAL, _LEDGER)
SCHEMA = len(STEPS)

"""The tables, as numbered migrations: a released migration is never changed, new ones are added.

A migration has parts: SQL statements, or a function for what SQL cannot do. All run in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gpurent.infra.sqlite.action_column import ADD_ACTIONS, action_of_trip
from gpurent.infra.sqlite.ledger_chain_rows import CLOSE_LEDGER, REBUILD_LEDGER, chain_entries
from gpurent.infra.sqlite.lock_rows import ADD_LOCKS
from gpurent.infra.sqlite.older_programs import SHUT_OUT_OLDER_PROGRAMS
from gpurent.infra.sqlite.order_records import ADD_ORDERS, add_order_facts, trip_of_order
from gpurent.infra.sqlite.outcome_columns import SPLIT_OUTCOMES
from gpurent.infra.sqlite.sql_access import SqlAccess
from gpurent.infra.sqlite.standard_words import (
    convert_note,
    dump_json,
    rename_charge,
    rename_note,
    rename_step,
    rename_words,
)
from gpurent.infra.sqlite.typed_rows import USE_TYPED_ROWS, is_same_amount, read_amount, split_orphan
from gpurent.infra.sqlite.volume_rows import ADD_VOLUMES

MigrationPart = str | Callable[[SqlAccess], None]

_CREATE_JOURNAL = """
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

# Amounts are text: 15 decimals and a large balance exceed 64 bits. A posting is written before its entry (the foreign
# key is checked at the commit), so that the entry closes the transaction: nothing can be added to it later.
_CREATE_LEDGER = """
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

_ADD_QUESTIONS = """
CREATE TABLE questions (
    id TEXT PRIMARY KEY, value TEXT NOT NULL, asked_at TEXT NOT NULL, answer TEXT, answered_at TEXT
) STRICT;
ALTER TABLE trips RENAME COLUMN want TO spec;
UPDATE trips SET spec = convert_spec(spec);
UPDATE steps SET value = convert_plan(value) WHERE name = 'plan' AND value IS NOT NULL;
"""

# Renames only: no amount, time or reference changes. The ledger's triggers are away inside the transaction alone.
_USE_STANDARD_WORDS = """
ALTER TABLE trips RENAME COLUMN begun_at TO started_at;
ALTER TABLE steps RENAME COLUMN begun_at TO started_at;
UPDATE trips SET spec = rename_words(spec);
UPDATE trips SET outcome = 'unknown' || substr(outcome, 8) WHERE outcome LIKE 'unclear%';
UPDATE steps SET name = rename_step(name);
UPDATE steps SET value = rename_words(value) WHERE value IS NOT NULL;
UPDATE leases SET value = rename_words(value);
UPDATE notes SET scope = 'authorized-bills' WHERE scope = 'agreed';
UPDATE notes SET scope = 'last-balance' WHERE scope = 'balance-seen';
UPDATE notes SET scope = 'passed-thresholds' WHERE scope = 'warn';
UPDATE notes SET value = convert_note(json_array(name, value)), name = rename_note(name)
WHERE scope NOT IN ('authorized-bills', 'last-balance', 'passed-thresholds', 'timer', 'timer-by-policy');
UPDATE questions SET id = replace(id, ':by-hand:', ':manual-rental:'),
    value = replace(value, ':by-hand:', ':manual-rental:') WHERE id LIKE '%:by-hand:%';
DROP TRIGGER entries_stay;
DROP TRIGGER postings_stay;
UPDATE entries SET kind = rename_charge(kind);
UPDATE entries SET note = rename_charge(note) WHERE kind = 'hold' AND reversal = 1;
UPDATE postings SET account = 'spent:' || rename_charge(substr(account, 7)) WHERE account LIKE 'spent:%';
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER postings_stay BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""

MIGRATIONS: tuple[tuple[MigrationPart, ...], ...] = (
    (_CREATE_JOURNAL,),
    (_CREATE_LEDGER,),
    (_ADD_QUESTIONS,),
    (_USE_STANDARD_WORDS,),
    (
        ADD_ORDERS,
        ADD_LOCKS,
        USE_TYPED_ROWS,
        SPLIT_OUTCOMES,
        ADD_ACTIONS,
        REBUILD_LEDGER,
        chain_entries,
        CLOSE_LEDGER,
        SHUT_OUT_OLDER_PROGRAMS,
    ),
    (ADD_VOLUMES,),
)
SCHEMA_VERSION = len(MIGRATIONS)


# For trips stored before `TripSpec` was split into five parts. Works only on the stored JSON.
_UPLOAD_KEYS = {"folder": "folder", "inputs": "include", "transfer": "transfer", "staged": "staged"}
_JOB_KEYS = {"command": "command", "name": "name", "session": "session", "launcher": "launcher"}
_SETUP_KEYS = {"setup": "commands", "needs": "needs"}
_RESULTS_KEYS = {"results": "paths", "home": "dir", "pull_every": "every"}
_LIMITS_KEYS = {"term": "term", "budget": "budget", "keep": "keep", "on_error": "on_error"}
_TOP_KEYS = {
    "provider": "provider",
    "providers": "providers",
    "lease": "lease",
    "declared": "terms",
    "only_rent": "rent_only",
    "doctor": "doctor",
    "notify": "notify",
}


def convert_spec(text: str) -> str:
    """Convert a flat specification to the one in parts; keys that did not exist then get today's defaults."""
    old = json.loads(text)
    wish = dict(old.get("wish", {}))
    machine = {"machine": wish.pop("key")} if "key" in wish else {}
    new: dict[str, Any] = {
        "requirements": {**wish, **machine, **_pick_renamed(old, {"disk": "disk", "image": "image"})},
        "upload": _pick_renamed(old, _UPLOAD_KEYS),
        "job": {
            **_pick_renamed(old, _JOB_KEYS),
            "setup": {**_pick_renamed(old, _SETUP_KEYS), **old.get("packages", {})},
        },
        "results": _pick_renamed(old, _RESULTS_KEYS),
        "limits": {**_pick_renamed(old, _LIMITS_KEYS), **old.get("rules", {})},
        **_pick_renamed(old, _TOP_KEYS),
    }
    return dump_json(new)


def convert_plan(text: str) -> str:
    """Convert a stored plan: rename the key ``cargo`` of its legs to ``upload``."""
    plan = json.loads(text)
    for leg in plan.get("legs", ()):
        if "cargo" in leg:
            leg["upload"] = leg.pop("cargo")
    return dump_json(plan)


def _pick_renamed(old: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {new: old[name] for name, new in names.items() if name in old}


# Called by the migrations.
SQL_FUNCTIONS = (
    convert_spec,
    convert_plan,
    rename_words,
    rename_step,
    rename_note,
    convert_note,
    rename_charge,
    add_order_facts,
    trip_of_order,
    read_amount,
    is_same_amount,
    split_orphan,
    action_of_trip,
)

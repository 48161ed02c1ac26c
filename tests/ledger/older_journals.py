"""Journals as older versions left them, for the tests of migrations."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from gpurent.domain.guard_actions import ActionKind, GuardAction
from gpurent.infra.sqlite.database import split_statements
from gpurent.infra.sqlite.older_programs import register_as_newer
from gpurent.infra.sqlite.schema import MIGRATIONS, SCHEMA_VERSION, SQL_FUNCTIONS
from gpurent.infra.sqlite.store import SqliteStore

# The tables as the first release created them.
FIRST_SCHEMA = """
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
PRAGMA user_version=1;
"""
BEGUN_AT = "2026-01-02T03:04:05+00:00"
ROWS = 40
RECORDED = Path(__file__).with_name("recorded")
COUNT_NOTES = "SELECT count(*) FROM notes WHERE scope IN ('dbc', '1024gpu')"
COUNT_TEXTS = "SELECT count(*) FROM plugin_state WHERE plugin IN ('dbc', '1024gpu')"


def write_first_release(path: Path) -> None:
    """Write a file of the first release with some content."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(FIRST_SCHEMA)
        db.execute(
            "INSERT INTO trips (id, kind, want, begun_at) VALUES ('t1', 'rent', ?, ?)",
            ('{"provider": "shop"}', BEGUN_AT),
        )
        db.execute("INSERT INTO steps VALUES ('t1', 'leg0.pay', ?, NULL, NULL)", (BEGUN_AT,))
        db.executemany(
            "INSERT INTO notes VALUES ('dbc', ?, ?)", [(f"bill/{n}", "x" * 300) for n in range(ROWS)]
        )
    path.chmod(0o600)


def copy_schema2(path: Path) -> None:
    """Copy what the second release left: see `recorded/README.md`."""
    shutil.copyfile(RECORDED / "journal.sqlite", path)
    path.chmod(0o600)


def copy_schema3(path: Path) -> None:
    """Copy what the last state before version 0.1 left."""
    shutil.copyfile(RECORDED.with_name("recorded_schema3") / "journal.sqlite", path)
    path.chmod(0o600)


def make_schema4(path: Path) -> None:
    """Migrate the second release's file to schema 4 as version 0.1 did, and add a trip for each kind of outcome."""
    copy_schema2(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for function in SQL_FUNCTIONS:
            db.create_function(function.__name__, 1, function)
        for part in (*MIGRATIONS[2], *MIGRATIONS[3]):
            assert isinstance(part, str)
            for statement in split_statements(part):
                db.execute(statement)
        db.executemany(
            "INSERT INTO trips (id, kind, spec, started_at, ended_at, outcome) VALUES (?, 'run', '{}', ?, ?, ?)",
            [(f"t-{number}", BEGUN_AT, BEGUN_AT, text) for number, text in enumerate(OLD_OUTCOMES)],
        )
        db.executemany(
            "INSERT INTO trips (id, kind, spec, lease, started_at) VALUES (?, 'guard', '{}', ?, ?)",
            [(trip, lease, BEGUN_AT) for trip, lease, _action in OLD_ACTIONS],
        )
        db.execute("PRAGMA user_version=4")


@frozen
class PlainAccess:
    """What a migration needs, on a plain connection. Implements `gpurent.infra.sqlite.sql_access.SqlAccess`."""

    connection: sqlite3.Connection

    def fetch_rows(self, sql: str, *values: Any) -> list[Any]:
        return self.connection.execute(sql, values).fetchall()

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.connection.executemany(sql, rows)


def make_schema5(path: Path) -> None:
    """Migrate the file of `make_schema4` to schema 5, the last one without volumes."""
    make_schema4(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        register_as_newer(db)
        for function in SQL_FUNCTIONS:
            db.create_function(function.__name__, 1, function)
        db.execute("BEGIN")
        for part in MIGRATIONS[4]:
            if isinstance(part, str):
                for statement in split_statements(part):
                    db.execute(statement)
            else:
                part(PlainAccess(db))
        db.execute("PRAGMA user_version=5")
        db.execute("COMMIT")


OLD_OUTCOMES = {
    "done": ("done", ""),
    "cancelled": ("cancelled", ""),
    "arrived": ("arrived", ""),
    "failed: sold-out": ("failed", "sold-out"),
    "failed: nothing ordered": ("failed", "nothing ordered"),
    "stopped: deadline": ("stopped", "deadline"),
    "unknown: unavailable": ("unknown", "unavailable"),
    "failed: a: b": ("failed", "a  b"),
    "what is this": ("unknown", "what is this"),
}
"""What versions before schema 5 wrote when a trip ended, and what it is since."""

END = datetime(2026, 11, 29, 10, 11, 12, tzinfo=UTC)
_RENEWAL = GuardAction(kind=ActionKind.RENEW, at=END)
_TOP_UP = GuardAction(kind=ActionKind.TOP_UP, billing="acme-pay", at=END)
OLD_ACTIONS = (
    ("guard-renew-x-23456-20261129t101112", "x-23456", _RENEWAL),
    ("guard-renew-x-23456-20261129t101112-2", "x-23456", _RENEWAL),
    ("guard-idle-x-23456", "x-23456", GuardAction(kind=ActionKind.IDLE)),
    ("guard-deadline-x-23456-3", "x-23456", GuardAction(kind=ActionKind.DEADLINE)),
    ("guard-topup-acme-pay-20261129t101112", "", _TOP_UP),
    ("guard-of-something-else", "x-23456", None),
)
"""Trips of the guard as versions before schema 5 named them, their leases, and what they do."""

OLDER_JOURNALS: Mapping[str, Callable[[Path], None]] = {
    "schema1": write_first_release,
    "schema2": copy_schema2,
    "schema3": copy_schema3,
    "schema4": make_schema4,
    "schema5": make_schema5,
}


def read_state(path: Path) -> tuple[int, int, int]:
    """Return ``(schema, texts of plugins, steps)`` of the file after checking its integrity."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (texts,) = db.execute(COUNT_TEXTS if version == SCHEMA_VERSION else COUNT_NOTES).fetchone()
        (steps,) = db.execute("SELECT count(*) FROM steps").fetchone()
        return version, texts, steps


def open_store(path: Path) -> SqliteStore:
    return SqliteStore(path, lambda: datetime(2026, 1, 3, tzinfo=UTC))

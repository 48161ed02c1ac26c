"""What must survive: trips, their steps, leases, plugins' notes. SQLite, rollback journal, every write synced."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from gpurent.adapters.codec import dumps, loads
from gpurent.errors import UsageError
from gpurent.model.lease import Lease
from gpurent.model.trip import Want

T = TypeVar("T")
SCHEMA = 1
_TABLES = """
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


@frozen(kw_only=True)
class TripRow:
    """One trip: ``kind`` is run, rent, renew, upgrade or release; ``outcome`` is empty while it is under way."""

    id: str
    kind: str
    want: Want
    lease: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str


@frozen(kw_only=True)
class StepRow:
    """One step: ``done_at`` None means that it was begun and nobody knows how it ended."""

    name: str
    begun_at: datetime
    done_at: datetime | None
    value: str | None


class Journal:
    """Narrow on purpose: begin a step, record it, recall it. Times are the provider's clock's."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._path = path
        if path.exists():
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._lock = threading.RLock()
        try:
            self._check()
            self._db.execute("PRAGMA journal_mode=DELETE")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._migrate()
        except sqlite3.DatabaseError as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError):
                what, hint = "cannot be used now", "Another gpurent may be writing, or the disk is full."
            else:
                what, hint = (
                    "is no journal of gpurent",
                    "Nothing was changed. Move the file away to start afresh.",
                )
            raise UsageError(f"{path} {what}: {error}", hint=hint) from None
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def _check(self) -> int:
        """The schema of the file; looks before anything is changed."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise UsageError(
                f"{self._path} was written by a newer gpurent (schema {version}, this one knows {SCHEMA})",
                hint="Upgrade gpurent; nothing was changed.",
            )
        return int(version)

    def _migrate(self) -> None:
        with self._write():
            if self._check() == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA}")

    @contextmanager
    def _write(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite itself rolls back after some failures, a full disk for one.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, *values: str) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).isoformat()

    # trips

    def begin_trip(self, trip: str, kind: str, want: Want, lease: str = "") -> None:
        with self._write():
            self._db.execute(
                "INSERT INTO trips (id, kind, want, lease, begun_at) VALUES (?, ?, ?, ?, ?)",
                (trip, kind, dumps(want), lease, self._stamp()),
            )

    def set_trip_lease(self, trip: str, lease: str) -> None:
        with self._write():
            self._db.execute("UPDATE trips SET lease = ? WHERE id = ?", (lease, trip))

    def end_trip(self, trip: str, outcome: str) -> None:
        with self._write():
            self._db.execute(
                "UPDATE trips SET ended_at = ?, outcome = ? WHERE id = ?", (self._stamp(), outcome, trip)
            )

    def trips(self) -> Sequence[TripRow]:
        """All trips, oldest first."""
        rows = self._rows(
            "SELECT id, kind, want, lease, begun_at, ended_at, outcome FROM trips ORDER BY begun_at, rowid"
        )
        return [
            TripRow(
                id=row[0],
                kind=row[1],
                want=loads(row[2], Want),
                lease=row[3],
                begun_at=datetime.fromisoformat(row[4]),
                ended_at=datetime.fromisoformat(row[5]) if row[5] else None,
                outcome=row[6],
            )
            for row in rows
        ]

    # steps

    def begin(self, trip: str, step: str) -> None:
        """Write the intent. Begun before and never recorded: the first begin stands."""
        with self._write():
            self._db.execute(
                "INSERT OR IGNORE INTO steps (trip, name, begun_at) VALUES (?, ?, ?)",
                (trip, step, self._stamp()),
            )

    def record(self, trip: str, step: str, value: object) -> None:
        """Write what the step gave. A step that was never begun is a `LookupError`: its intent was not on disk."""
        with self._write():
            written = self._db.execute(
                "UPDATE steps SET done_at = ?, value = ? WHERE trip = ? AND name = ?",
                (self._stamp(), dumps(value), trip, step),
            )
            if written.rowcount != 1:
                raise LookupError(f"step {step} of trip {trip} was not begun")

    def recall(self, trip: str, step: str, kind: type[T]) -> T | None:
        """What the step gave, None if it was not recorded."""
        for (value,) in self._rows("SELECT value FROM steps WHERE trip = ? AND name = ?", trip, step):
            if value is not None:
                return loads(value, kind)
        return None

    def steps(self, trip: str) -> Sequence[StepRow]:
        rows = self._rows(
            "SELECT name, begun_at, done_at, value FROM steps WHERE trip = ? ORDER BY rowid", trip
        )
        return [
            StepRow(
                name=name,
                begun_at=datetime.fromisoformat(begun),
                done_at=datetime.fromisoformat(done) if done else None,
                value=value,
            )
            for name, begun, done, value in rows
        ]

    # leases

    def keep_lease(self, lease: Lease) -> None:
        with self._write():
            self._db.execute(
                "INSERT INTO leases (id, provider, state, value, changed_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, value = excluded.value,"
                " changed_at = excluded.changed_at",
                (lease.id, lease.provider, lease.state.value, dumps(lease), self._stamp()),
            )

    def swap_lease(self, before: Lease, after: Lease) -> bool:
        """Write ``after`` only if the lease still stands as ``before``; somebody else may have moved it meanwhile."""
        with self._write():
            rows = self._rows("SELECT value FROM leases WHERE id = ?", before.id)
            # Compared as values: an older gpurent wrote fewer fields.
            if not rows or loads(rows[0][0], Lease) != before:
                return False
            self._db.execute(
                "UPDATE leases SET state = ?, value = ?, changed_at = ? WHERE id = ?",
                (after.state.value, dumps(after), self._stamp(), before.id),
            )
            return True

    def lease(self, lease: str) -> Lease | None:
        for (value,) in self._rows("SELECT value FROM leases WHERE id = ?", lease):
            return loads(value, Lease)
        return None

    def leases(self) -> Sequence[Lease]:
        """All leases ever, oldest first."""
        return [loads(value, Lease) for (value,) in self._rows("SELECT value FROM leases ORDER BY rowid")]

    # notes

    def note(self, scope: str, name: str) -> str | None:
        for (value,) in self._rows("SELECT value FROM notes WHERE scope = ? AND name = ?", scope, name):
            return str(value)
        return None

    def put_note(self, scope: str, name: str, value: str) -> None:
        with self._write():
            self._db.execute(
                "INSERT INTO notes (scope, name, value) VALUES (?, ?, ?)"
                " ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
                (scope, name, value),
            )

    def swap_note(self, scope: str, name: str, before: str | None, after: str) -> bool:
        """Write ``after`` only if the note still says ``before`` (None: is not there)."""
        with self._write():
            rows = self._db.execute(
                "SELECT value FROM notes WHERE scope = ? AND name = ?", (scope, name)
            ).fetchall()
            if (rows[0][0] if rows else None) != before:
                return False
            self._db.execute(
                "INSERT OR REPLACE INTO notes (scope, name, value) VALUES (?, ?, ?)", (scope, name, after)
            )
            return True


@frozen
class ScopedNotes:
    """The notes of one plugin."""

    journal: Journal
    scope: str

    def get(self, name: str) -> str | None:
        return self.journal.note(self.scope, name)

    def put(self, name: str, value: str) -> None:
        self.journal.put_note(self.scope, name, value)

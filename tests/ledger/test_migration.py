"""From every released schema to this one: a backup first, and a kill at any statement loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gpurent.errors import UsageError
from gpurent.infra.sqlite import database
from gpurent.infra.sqlite.schema import MIGRATIONS, SCHEMA_VERSION
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


def copy_recorded(path: Path) -> None:
    """Copy a file of the previous release: see `recorded/README.md`."""
    shutil.copyfile(RECORDED / "journal.sqlite", path)
    path.chmod(0o600)


def copy_schema3(path: Path) -> None:
    """What the last state before version 0.1 left."""
    shutil.copyfile(RECORDED.with_name("recorded_schema3") / "journal.sqlite", path)
    path.chmod(0o600)


def read_state(path: Path) -> tuple[int, int, int]:
    """Return ``(schema, texts of plugins, steps)`` of the file after checking its integrity."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        (version,) = db.execute("PRAGMA user_version").fetchone()
        texts = db.execute(COUNT_TEXTS if version == SCHEMA_VERSION else COUNT_NOTES).fetchone()[0]
        (steps,) = db.execute("SELECT count(*) FROM steps").fetchone()
        return version, texts, steps


def open_store(path: Path) -> SqliteStore:
    return SqliteStore(path, lambda: datetime(2026, 1, 3, tzinfo=UTC))


class KillingConnection(sqlite3.Connection):
    """Kills its process before or after statement ``kill_point``.

    A backup counts as one statement, and the process can be killed in the middle of it.
    """

    kill_point = 0
    kills_after = False
    statement_count = 0

    def _kill_if(self, now: bool) -> None:
        if now and KillingConnection.statement_count == KillingConnection.kill_point:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, *args: Any) -> sqlite3.Cursor:
        KillingConnection.statement_count += 1
        self._kill_if(not KillingConnection.kills_after)
        cursor = super().execute(*args)
        self._kill_if(KillingConnection.kills_after)
        return cursor

    def backup(self, target: sqlite3.Connection, **_given: Any) -> None:
        KillingConnection.statement_count += 1
        self._kill_if(not KillingConnection.kills_after)
        super().backup(target, pages=1, progress=lambda *_left: self._kill_if(KillingConnection.kills_after))


def is_killed_at(path: Path, point: int, late: bool) -> bool:
    """Return whether a process that opens the file is killed at this point."""
    child = os.fork()
    if not child:
        KillingConnection.kill_point, KillingConnection.kills_after, KillingConnection.statement_count = (
            point,
            late,
            0,
        )
        pytest.MonkeyPatch().setattr(sqlite3, "connect", partial(sqlite3.connect, factory=KillingConnection))
        try:
            open_store(path).close()
            os._exit(0)
        finally:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_the_first_schema_is_still_the_first_step() -> None:
    assert FIRST_SCHEMA.replace("PRAGMA user_version=1;\n", "") == MIGRATIONS[0][0]


def test_a_file_of_the_first_release_is_migrated_and_kept_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_first_release(path)
    store = open_store(path)
    assert [row.id for row in store.list_trips()] == ["t1"]
    assert store.find_plugin_text("dbc", "bill/0") == "x" * 300
    store.close()
    backup = tmp_path / "journal.sqlite.schema1"
    assert read_state(path) == (SCHEMA_VERSION, ROWS, 1)
    assert read_state(backup) == (1, ROWS, 1)
    assert backup.stat().st_mode & 0o777 == 0o600
    before = backup.stat().st_mtime_ns
    open_store(path).close()
    assert backup.stat().st_mtime_ns == before, "once is enough"
    assert sorted(found.name for found in tmp_path.iterdir()) == [path.name, backup.name]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "make", [write_first_release, copy_recorded, copy_schema3], ids=["first", "recorded", "schema3"]
)
def test_killed_at_every_statement(tmp_path: Path, make: Callable[[Path], None], late: bool) -> None:
    point = 1
    while True:
        folder = tmp_path / str(point)
        folder.mkdir()
        path = folder / "journal.sqlite"
        make(path)
        schema, texts, steps = read_state(path)
        died = is_killed_at(path, point, late)
        version, *kept = read_state(path)
        assert kept == [texts, steps]
        assert version in (schema, SCHEMA_VERSION)
        backup = folder / f"journal.sqlite.schema{schema}"
        if version == SCHEMA_VERSION:
            assert read_state(backup) == (schema, texts, steps)
        open_store(path).close()
        assert read_state(path) == (SCHEMA_VERSION, texts, steps)
        assert read_state(backup) == (schema, texts, steps)
        if not died:
            break
        point += 1
    assert point > (20 if schema == 1 else 10), "every statement of the migration was a point"


def test_an_older_release_refuses_the_newer_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite"
    open_store(path).close()
    content = path.read_bytes()
    monkeypatch.setattr(database, "SCHEMA_VERSION", 1)
    with pytest.raises(
        UsageError, match=rf"newer gpurent \(schema {SCHEMA_VERSION}, this one supports up to 1\)"
    ):
        open_store(path)
    assert path.read_bytes() == content


def test_a_fresh_file_needs_no_backup(tmp_path: Path) -> None:
    open_store(tmp_path / "journal.sqlite").close()
    assert [found.name for found in tmp_path.iterdir()] == ["journal.sqlite"]

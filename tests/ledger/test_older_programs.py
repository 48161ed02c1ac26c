"""A gpurent that runs on from before the migration: what it reads and writes fails, and says why; nothing changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gpurent.errors import StorageError
from gpurent.infra.sqlite.database_errors import converted_errors
from tests.ledger.older_journals import OLDER_JOURNALS, open_store

AT = "2026-01-02T03:04:05+00:00"
# What versions with these schemas execute: in a step of a trip, at a look at a lease, when they list or book something.
_SECOND = (
    "SELECT id, kind, want, lease, begun_at, ended_at, outcome FROM trips ORDER BY begun_at, rowid",
    "SELECT value FROM leases WHERE state NOT IN ('released', 'gone') ORDER BY rowid",
    "INSERT INTO trips (id, kind, want, lease, begun_at) VALUES ('t9', 'run', '{}', '', '')",
    "INSERT OR IGNORE INTO steps (trip, name, begun_at) VALUES ('t9', 'pay', '')",
    "UPDATE steps SET done_at = '', value = '1' WHERE trip = 't1129-fzf9h'",
    "INSERT INTO leases (id, provider, state, value, changed_at) VALUES ('l9', 'p', '', '{}', '')",
    "UPDATE leases SET state = 'gone', value = '{}', changed_at = ''",
    "INSERT OR REPLACE INTO notes (scope, name, value) VALUES ('warn', 'x', '1')",
    "INSERT OR IGNORE INTO questions (id, value, asked_at) VALUES ('q9', '{}', '')",
    "INSERT INTO postings VALUES (99, 0, 'outside', 'CNY', 2, '5')",
)
_FOURTH = (
    "SELECT id, kind, spec, lease, started_at, ended_at, outcome FROM trips WHERE outcome = ''",
    "UPDATE trips SET ended_at = '', outcome = 'done'",
    "INSERT OR IGNORE INTO steps (trip, name, started_at) VALUES ('t9', 'pay', '')",
    "DELETE FROM steps",
    *_SECOND[4:],
)
STATEMENTS = {"schema2": _SECOND, "schema4": _FOURTH}


@pytest.fixture(params=STATEMENTS)
def running(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[sqlite3.Connection, Sequence[str]]]:
    """A connection that an older version opened before the journal was migrated, and what it executes."""
    path = tmp_path / "journal.sqlite"
    OLDER_JOURNALS[request.param](path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone()[0] > 0
        open_store(path).close()
        yield connection, STATEMENTS[request.param]


def test_every_statement_fails_and_changes_nothing(
    running: tuple[sqlite3.Connection, Sequence[str]], tmp_path: Path
) -> None:
    connection, statements = running
    before = list(connection.iterdump())
    for statement in statements:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute(statement)
        reason = str(caught.value)
        is_clear = "this_journal_needs_a_newer_gpurent" in reason or "because it is a view" in reason
        assert is_clear or "no column named" in reason, statement
    assert list(connection.iterdump()) == before


async def test_versions_with_their_own_error_for_it_show_the_reason(
    running: tuple[sqlite3.Connection, Sequence[str]], tmp_path: Path
) -> None:
    connection, _statements = running
    with pytest.raises(StorageError, match="this_journal_needs_a_newer_gpurent"), converted_errors("journal"):
        connection.execute("SELECT value FROM leases ORDER BY rowid")
    assert await open_store(tmp_path / "journal.sqlite").list_open_leases() != []

"""From every older schema to this one: a backup first, nothing is lost, and newer files are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.errors import UsageError
from gpurent.infra.sqlite import database
from gpurent.infra.sqlite.schema import MIGRATIONS, SCHEMA_VERSION
from tests.ledger.older_journals import (
    FIRST_SCHEMA,
    OLD_ACTIONS,
    OLD_OUTCOMES,
    ROWS,
    make_schema4,
    open_store,
    read_state,
    write_first_release,
)


def test_the_first_schema_is_still_the_first_step() -> None:
    assert FIRST_SCHEMA.replace("PRAGMA user_version=1;\n", "") == MIGRATIONS[0][0]


async def test_a_file_of_the_first_release_is_migrated_and_kept_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_first_release(path)
    store = open_store(path)
    assert [row.id for row in await store.list_trips()] == ["t1"]
    assert await store.find_plugin_text("dbc", "bill/0") == "x" * 300
    store.close()
    backup = tmp_path / "journal.sqlite.schema1"
    assert read_state(path) == (SCHEMA_VERSION, ROWS, 1)
    assert read_state(backup) == (1, ROWS, 1)
    assert backup.stat().st_mode & 0o777 == 0o600
    before = backup.stat().st_mtime_ns
    open_store(path).close()
    assert backup.stat().st_mtime_ns == before, "once is enough"
    assert sorted(found.name for found in tmp_path.iterdir()) == [path.name, backup.name]  # noqa: ASYNC240


async def test_outcomes_are_split_in_two(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    make_schema4(path)
    store = open_store(path)
    found = {trip.id: trip.outcome for trip in await store.list_trips()}
    store.close()
    for number, (text, (kind, reason)) in enumerate(OLD_OUTCOMES.items()):
        outcome = found[f"t-{number}"]
        assert outcome is not None, text
        assert (outcome.kind.value, outcome.reason) == (kind, reason)
    assert None in found.values(), "what was under way still is"


async def test_what_the_guard_does_is_no_longer_read_from_the_id(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    make_schema4(path)
    store = open_store(path)
    found = {trip.id: trip.action for trip in await store.list_trips()}
    store.close()
    for trip, _lease, action in OLD_ACTIONS:
        assert found[trip] == action, trip
    assert found["t-0"] is None, "a trip of the user"


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

"""Backups of other versions: an older journal is brought up to date, a newer one changes nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.restores import RestoreReport, Restores
from gpurent.domain.lease import LeaseState, PendingOrder
from gpurent.domain.offer import OrderKind
from gpurent.domain.secret import Secret
from gpurent.errors import StorageError, UsageError
from gpurent.infra.backup.contents import BackupManifest, iter_content
from gpurent.infra.backup.sealed_file import encrypt_chunks, make_header
from gpurent.infra.sqlite.schema import SCHEMA_VERSION
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.fakes import START, ManualClock
from tests.ledger.older_journals import make_schema5
from tests.sample_lease import make_lease
from tests.workflow.trip_sandbox import ScriptedUser

PASSPHRASE = "several words that nobody guesses"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def seal_journal(journal: Path) -> Path:
    """Make a backup of nothing but a journal."""
    path = journal.with_name("backup")
    manifest = BackupManifest(
        version="0.0.9",
        made_at=NOW,
        installation="0123456789abcdef",
        sizes={"journal.sqlite": journal.stat().st_size},
    )
    parts = encrypt_chunks(
        *make_header(Secret(PASSPHRASE), is_of_vault=False),
        iter_content(manifest, {"journal.sqlite": journal}),
    )
    path.write_bytes(b"".join(parts))
    return path


async def restore(path: Path, home: Path) -> RestoreReport:
    environment = {"GPURENT_BACKUP_PASSPHRASE": PASSPHRASE, "GPURENT_STATE_HOME": str(home.parent / "outer")}
    restores = Restores(home, environment, ScriptedUser(confirms=True), ManualClock(START))
    return await restores.restore_backup(path)


async def test_a_journal_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    make_schema5(tmp_path / "journal.sqlite")
    report = await restore(seal_journal(tmp_path / "journal.sqlite"), tmp_path / "home")
    assert report.version == "0.0.9"
    with closing(sqlite3.connect(tmp_path / "home" / "journal.sqlite")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [
        "journal.sqlite",
        "living-leases.json",
        "locks",
        "outside-records.json",
    ]


async def test_a_journal_of_a_newer_version_changes_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as database:
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(UsageError, match=r"the backup was made by a newer gpurent \(0\.0\.9\)"):
        await restore(seal_journal(tmp_path / "journal.sqlite"), tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["locks"]


async def test_what_is_no_journal_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="damaged"):
        await restore(seal_journal(tmp_path / "journal.sqlite"), tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["locks"]


async def test_an_order_that_was_not_sent_may_have_been_sent_since(tmp_path: Path) -> None:
    """So that its provider is asked before it counts as never ordered."""
    store = SqliteStore(tmp_path / "journal.sqlite", lambda: START)
    unsent = PendingOrder(key="t1-leg0", kind=OrderKind.NEW)
    lease = evolve(make_lease("77"), state=LeaseState.PAYABLE, pending=unsent, adopted_at=START)
    await store.save_lease(lease)
    store.close()
    report = await restore(seal_journal(tmp_path / "journal.sqlite"), tmp_path / "home")
    assert report.leases == [lease.id]
    store = SqliteStore(tmp_path / "home" / "journal.sqlite", lambda: START)
    try:
        assert await store.find_lease(lease.id) == evolve(
            lease, adopted_at=None, pending=evolve(unsent, sent_at=START)
        )
    finally:
        store.close()

"""The Store's contract, for its embedded form."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.domain.locks import LockOwner
from gpurent.errors import BusyError, LockLost, StorageError
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.backups import BackupContract
from gpurent.testing.contracts.store.base import StoreContract, make_lease
from gpurent.testing.contracts.store.leases import LeaseStoreContract, OrderContract
from gpurent.testing.contracts.store.ledger import LedgerContract
from gpurent.testing.contracts.store.locks import LockContract
from gpurent.testing.contracts.store.payments import MailBindingStoreContract, PaymentStoreContract
from gpurent.testing.contracts.store.summaries import SummaryContract
from gpurent.testing.contracts.store.trips import QuestionContract, TripContract
from gpurent.testing.contracts.store.volumes import VolumeStoreContract
from gpurent.testing.contracts.store.watch import WatchContract


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class SqliteForm(StoreContract):
    """One file in the folder, and a file for each lock."""

    def open_store(self, folder: Path, now: Callable[[], datetime], command: str) -> Store:
        return SqliteStore(folder / "journal.sqlite", now, command)

    def free_lock(self, folder: Path, name: str) -> None:
        (folder / "locks" / f"{name}.lock").unlink()


class TestSqliteTrips(SqliteForm, TripContract):
    pass


class TestSqliteQuestions(SqliteForm, QuestionContract):
    pass


class TestSqliteVolumes(SqliteForm, VolumeStoreContract):
    pass


class TestSqliteLeases(SqliteForm, LeaseStoreContract):
    pass


class TestSqliteOrders(SqliteForm, OrderContract):
    pass


class TestSqlitePayments(SqliteForm, PaymentStoreContract):
    pass


class TestSqliteMailBindings(SqliteForm, MailBindingStoreContract):
    pass


class TestSqliteWatch(SqliteForm, WatchContract):
    pass


class TestSqliteBackups(SqliteForm, BackupContract):
    pass


class TestSqliteLedger(SqliteForm, LedgerContract):
    pass


class TestSqliteSummaries(SqliteForm, SummaryContract):
    pass


class TestSqliteLocks(SqliteForm, LockContract):
    async def test_a_lock_that_cannot_be_recorded_is_held_and_recorded_later(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        async with AsyncExitStack() as stack:
            with full_disk():
                await stack.enter_async_context(store.hold_lock("l1"))
                with pytest.raises(BusyError, match="l1 is in use by another process"):
                    await stack.enter_async_context(other.hold_lock("l1"))
                with pytest.raises(StorageError):
                    await store.save_lease(make_lease())
            assert await other.find_lock_owner("l1") == LockOwner(), "not recorded yet"
            await store.save_lease(make_lease())
            owner = await other.find_lock_owner("l1")
            assert owner is not None
            assert owner.process == os.getpid()
            self.free_lock(tmp_path, "l1")
            async with other.hold_lock("l1"):
                pass
            with pytest.raises(LockLost):
                await store.save_lease(make_lease(note="x"))

    async def test_a_lock_that_was_never_recorded_can_be_lost(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        async with AsyncExitStack() as stack:
            with full_disk():
                await stack.enter_async_context(store.hold_lock("l1"))
            self.free_lock(tmp_path, "l1")
            async with other.hold_lock("l1"):
                pass
            with pytest.raises(LockLost):
                await store.save_lease(make_lease())


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_file_that_was_moved_is_found_without_a_write(is_replaced: bool, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    store = SqliteStore(path, lambda: datetime.now(UTC))
    async with store.hold_lock("t1"):
        await store.require_locks()
        path.rename(tmp_path / "elsewhere")
        if is_replaced:
            SqliteStore(path, lambda: datetime.now(UTC)).close()
        with pytest.raises(StorageError, match="was moved or deleted") as caught:
            await store.require_locks()
        assert caught.value.is_gone
        assert await store.list_leases() == [], "it can still read"
        (tmp_path / "elsewhere").rename(path)
        await store.require_locks()
    store.close()


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_file_that_was_moved_is_not_created_anew_by_who_uses_it(
    is_replaced: bool, tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite"
    store = SqliteStore(path, lambda: datetime.now(UTC))
    await store.save_lease(make_lease())
    path.rename(tmp_path / "elsewhere")
    if is_replaced:
        SqliteStore(path, lambda: datetime.now(UTC)).close()
    with pytest.raises(StorageError, match="was moved or deleted"):
        async with store.hold_lock("t1"):
            pass
    assert path.exists() == is_replaced
    store.close()

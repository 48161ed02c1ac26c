"""Contract tests for copies of the Store, and for the record of a restore."""

from __future__ import annotations

import asyncio
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from gpurent.domain.restored_state import RestoreRecord
from gpurent.domain.trip import TripSpec
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import START, StoreContract


def _make_record() -> RestoreRecord:
    return RestoreRecord(
        restored_at=START + timedelta(days=1),
        backed_up_at=START,
        former="0123456789abcdef",
        open_trips=("t1",),
    )


class BackupContract(StoreContract):
    """All of `gpurent.ports.backup_store`."""

    async def test_a_snapshot_has_everything_of_one_moment(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "copy").mkdir()
        path = tmp_path / "copy" / "journal.sqlite"
        await store.begin_trip("t1", "run", TripSpec(provider="acme"))
        await store.write_snapshot(path)
        await other.begin_trip("t2", "run", TripSpec())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with closing(self.open_store(path.parent, lambda: START, "gpurent")) as copy:
            assert [trip.id for trip in await copy.list_trips()] == ["t1"]
            await copy.begin_trip("t3", "run", TripSpec())
        assert [trip.id for trip in await store.list_trips()] == ["t1", "t2"]

    async def test_the_record_of_a_restore(self, store: Store, other: Store) -> None:
        assert await store.find_restore() is None
        await store.update_restore(lambda record: record.add_searched(["acme"], START))
        assert await store.find_restore() is None, "there is nothing to change"
        await store.put_restore(_make_record())
        assert await other.find_restore() == _make_record()
        await asyncio.gather(
            store.update_restore(lambda record: record.add_searched(["b", "a"], START)),
            other.update_restore(lambda record: record.add_compared(["b"], START)),
        )
        found = await store.find_restore()
        assert found == _make_record().add_searched(["a", "b"], START).add_compared(["b"], START)
        await other.put_restore(_make_record())
        assert await store.find_restore() == _make_record(), "restored once more"

"""A store that an older gpurent wrote: its leases lack newer fields and can still be managed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.infra.sqlite.older_programs import register_as_newer
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.fakes import START
from tests.sample_lease import make_lease


async def test_a_lease_without_the_newer_fields_is_read_and_moved(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    store = SqliteStore(path, lambda: START)
    await store.save_lease(make_lease("77"))
    store.close()
    with sqlite3.connect(path) as raw:
        (text,) = raw.execute("SELECT value FROM lease_records").fetchone()
        older = {
            name: value
            for name, value in json.loads(text).items()
            if name not in ("declared", "machine_facts")
        }
        assert len(older) < len(json.loads(text))
        register_as_newer(raw)
        raw.execute("UPDATE lease_records SET value = ?", (json.dumps(older),))
    raw.close()
    store = SqliteStore(path, lambda: START)
    try:
        before = await store.find_lease("x-1")
        assert before == make_lease("77")
        after = evolve(before.with_state(LeaseState.RELEASING))
        assert await store.swap_lease(before, after)
        assert not await store.swap_lease(before, after), "somebody else moved it meanwhile"
        assert await store.find_lease("x-1") == after
    finally:
        store.close()

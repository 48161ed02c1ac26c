"""Schema 6: volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.table_rows import TableRows

if TYPE_CHECKING:
    from gpurent.domain.volume import Volume

ADD_VOLUMES = """
CREATE TABLE volumes (
    id TEXT PRIMARY KEY, provider TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, value TEXT NOT NULL,
    changed_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX volumes_by_name ON volumes (provider, name) WHERE state <> 'deleted';
"""


class VolumeRows(TableRows):
    """Implements `gpurent.ports.volume_store.VolumeStore`; a part of `SqliteStore`."""

    async def add_volume(self, volume: Volume) -> Volume | None:
        with self._database.write_transaction():
            rows = self._database.fetch_rows(
                "SELECT value FROM volumes WHERE provider = ? AND name = ? AND state <> 'deleted'",
                *(volume.provider, volume.name),
            )
            if rows:
                return self._parse(rows[0][0])
            self._database.execute(
                "INSERT INTO volumes (id, provider, name, state, value, changed_at) VALUES (?, ?, ?, ?, ?, ?)",
                (volume.id, volume.provider, *self._make_cells(volume)),
            )
            return None

    async def swap_volume(self, before: Volume, after: Volume) -> bool:
        with self._database.write_transaction():
            rows = self._database.fetch_rows("SELECT value FROM volumes WHERE id = ?", before.id)
            if not rows or self._parse(rows[0][0]) != before:
                return False
            self._database.execute(
                "UPDATE volumes SET name = ?, state = ?, value = ?, changed_at = ? WHERE id = ?",
                (*self._make_cells(after), before.id),
            )
            return True

    def _make_cells(self, volume: Volume) -> tuple[str, str, str, str]:
        return volume.name, volume.state.value, dumps(volume), self._format_now()

    async def list_volumes(self) -> Sequence[Volume]:
        rows = self._database.fetch_rows("SELECT value FROM volumes ORDER BY rowid")
        return [self._parse(value) for (value,) in rows]

    @staticmethod
    def _parse(text: str) -> Volume:
        from gpurent.domain.volume import Volume

        return loads(text, Volume)

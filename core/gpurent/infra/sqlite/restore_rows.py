"""The record of a restore from a backup. It is kept with the small texts of plugins, under a name that none has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.table_rows import TableRows

if TYPE_CHECKING:
    from gpurent.domain.restored_state import RestoreRecord

_SCOPE, _NAME = "@restored", "record"
_FIND = "SELECT value FROM plugin_state WHERE plugin = ? AND name = ?"
_PUT = "INSERT OR REPLACE INTO plugin_state (plugin, name, value) VALUES (?, ?, ?)"


class RestoreRows(TableRows):
    """Implements `gpurent.ports.backup_store.RestoreStore`; a part of `SqliteStore`."""

    async def find_restore(self) -> RestoreRecord | None:
        return self._find_restore()

    def _find_restore(self) -> RestoreRecord | None:
        rows = self._database.fetch_rows(_FIND, _SCOPE, _NAME)
        if not rows:
            return None  # nearly always
        from gpurent.domain.restored_state import RestoreRecord

        return loads(rows[0][0], RestoreRecord)

    async def put_restore(self, record: RestoreRecord) -> None:
        self._execute(_PUT, _SCOPE, _NAME, dumps(record))

    async def update_restore(self, change: Callable[[RestoreRecord], RestoreRecord]) -> None:
        with self._database.write_transaction():
            record = self._find_restore()
            if record is not None:
                self._database.execute(_PUT, (_SCOPE, _NAME, dumps(change(record))))

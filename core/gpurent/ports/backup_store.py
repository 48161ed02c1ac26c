"""The parts of the Store for backups: a copy of everything, and what is recorded after one was restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.restored_state import RestoreRecord


class SnapshotStore(Protocol):
    async def write_snapshot(self, path: Path) -> None:
        """Write everything, as it is at one moment, into the new private file ``path``. Others may write meanwhile."""


class RestoreStore(Protocol):
    """Whether the Store was restored from a backup."""

    async def find_restore(self) -> RestoreRecord | None:
        """Return the record of the last restore; None if the Store was never restored."""

    async def put_restore(self, record: RestoreRecord) -> None: ...
    async def update_restore(self, change: Callable[[RestoreRecord], RestoreRecord]) -> None:
        """Replace the record by ``change(record)``, if there is one; no other process writes meanwhile."""

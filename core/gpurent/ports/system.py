"""This computer: its clock, its locks, its private files, the user's browser."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """The provider's time. In the sandbox it runs faster than the wall's."""

    def now(self) -> datetime:
        """The present, aware, UTC."""

    async def sleep(self, span: timedelta) -> None:
        """Let ``span`` of this clock's time pass."""


class ProviderClock(Clock, Protocol):
    """A `Clock` whose times can be told as this computer's, and the reverse."""

    def from_wall_time(self, at: datetime) -> datetime:
        """The time of this clock when the wall's was ``at``."""

    def to_wall_time(self, at: datetime) -> datetime:
        """The wall's time when this clock shows ``at``."""


class Locks(Protocol):
    """Locks by name; the system lets go of them when their holder dies."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock ``name``, or `BusyError` at once, also for a second try in one process."""


class Platform(Protocol):
    """Private files, the user's browser. Everything else of a system stays in its own implementation."""

    def make_private_folder(self, path: Path) -> Path:
        """``path`` as a folder that is ours alone, made if missing. Someone else's, or open to others: `UsageError`."""

    def read_private_file(self, path: Path) -> bytes:
        """What ``path`` holds. A link, readable by others or not ours: `UsageError`. Missing: `FileNotFoundError`."""

    def write_private_file(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data`` in one move; on the disk when this returns."""

    def open_page(self, url: str, hosts: Collection[str]) -> bool:
        """Show ``url``, an https page on one of ``hosts``, in the user's browser; False when that cannot be."""

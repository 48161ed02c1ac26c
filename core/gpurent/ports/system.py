"""The local computer: its clock, private files and browser."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from gpurent.domain.name_policy import FileSystemRules


class Clock(Protocol):
    """The provider's time. In the sandbox it runs faster than the wall clock."""

    def now(self) -> datetime:
        """Return the current time, in UTC with its time zone set."""

    async def sleep(self, span: timedelta) -> None:
        """Wait until ``span`` of this clock's time has passed."""


class ProviderClock(Clock, Protocol):
    """A `Clock` whose times can be converted to and from this computer's wall time."""

    def from_wall_time(self, at: datetime) -> datetime:
        """Convert the wall time ``at`` to this clock's time."""

    def to_wall_time(self, at: datetime) -> datetime:
        """Convert ``at`` of this clock to wall time."""


class ProviderClocks(Protocol):
    """The clocks of the services, which may differ from this computer's."""

    def clock_of(self, service: str) -> ProviderClock:
        """Return the clock of the service of that provider or account, as far as its responses show it."""


class Platform(Protocol):
    """Private files, file systems and the user's browser.

    All else that differs between systems stays in its own implementation.
    """

    def make_private_folder(self, path: Path) -> Path:
        """Create ``path`` as a folder that only the user can access, if missing, and return it.

        Raises `UsageError` if it belongs to another user or is accessible to others.
        """

    def read_private_file(self, path: Path) -> bytes:
        """Return the content of ``path``; raises `FileNotFoundError` if it is missing.

        Raises `UsageError` if it is a link, is accessible to other users, or belongs to one.
        """

    def write_private_file(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data`` atomically; on disk when this returns."""

    def read_file_system_rules(self, folder: Path) -> FileSystemRules:
        """Return what the file system of ``folder`` does with names; where it cannot be tried out, what is usual here.

        A folder that does not exist is taken to be like the nearest one above it.
        """

    def open_page(self, url: str, hosts: Collection[str]) -> bool:
        """Open ``url``, an https page on one of ``hosts``, in the user's browser; False if that is not possible."""

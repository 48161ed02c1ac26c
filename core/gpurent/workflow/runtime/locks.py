"""Who may move a trip or a lease now: one process, one task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

from gpurent.errors import UnavailableError, UsageError
from gpurent.infra.platform.posix.files import private_folder
from gpurent.infra.platform.posix.locks import Taken, locked
from gpurent.locale import _

POLL = timedelta(seconds=2)
TURN = timedelta(minutes=15)


class Turns:
    """Mixed into the desk; the locks are files, which the system lets go of when their holder dies."""

    home: Path

    async def pace(self, span: timedelta, floor: float = 0.1) -> None:
        """Wait ``span`` of provider time, but at least ``floor`` real seconds."""
        raise NotImplementedError

    @contextmanager
    def hold(self, trip: str) -> Iterator[None]:
        """Keep a trip for this process; held by another: `UsageError`."""
        try:
            with locked(self._lock(trip)):
                yield
        except Taken as error:
            raise UsageError(
                _("{trip} is being worked on by process {holder}").format(trip=trip, holder=error.holder),
                hint=_("Wait for it, or end it; the job itself goes on either way."),
            ) from None

    @asynccontextmanager
    async def turn(self, lease_id: str) -> AsyncIterator[None]:
        """Wait for the turn at moving a lease, so that an order and a return of one machine never cross."""
        waited = timedelta()
        while True:
            try:
                with locked(self._lock(lease_id)):
                    yield
                return
            except Taken as error:
                if waited >= TURN:
                    raise UnavailableError(
                        _("{lease} is being worked on by process {holder}").format(
                            lease=lease_id, holder=error.holder
                        ),
                        hint=_("Nothing was done. Wait for it, or end it, and try again."),
                        retryable=True,
                    ) from None
            await self.pace(POLL)
            waited += POLL

    def _lock(self, name: str) -> Path:
        return private_folder(self.home / "locks") / f"{name}.lock"

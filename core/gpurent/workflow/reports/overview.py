"""All leases at a glance, kept fresh: for live views. Rows are there at once; whoever does not answer is stale."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import Money
from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.workflow.reports.machine_sample import MachineSample, MachineSampler
from gpurent.workflow.timing.alarms import below, thresholds
from gpurent.workflow.timing.time_left import time_left

if TYPE_CHECKING:
    from gpurent.workflow.runtime.desk import Desk

PATIENCE = 15.0
AT_ONCE = 8


@frozen(kw_only=True)
class Row:
    """One lease as it was last seen.

    ``low``: the time left lies below one of the user's thresholds. ``spent`` is by the ledger, one amount a currency.
    ``asked_at``: when its shop last answered (provider time), None not yet. ``stale``: why the last look failed, empty
    when it did not. ``glimpse`` is the machine's own part.
    """

    lease: Lease
    left: TimeLeft
    low: bool = False
    spent: tuple[Money, ...] = ()
    asked_at: datetime | None = None
    stale: str = ""
    glimpse: MachineSample = MachineSample()

    @property
    def problem(self) -> str:
        """What is not fresh in this row and why; empty when all is."""
        return self.stale or self.glimpse.stale

    @property
    def since(self) -> datetime | None:
        """When what is not fresh was last seen."""
        return self.asked_at if self.stale else self.glimpse.at


class Overview:
    """Bound to one desk. `rows` asks nobody; each ``refresh`` asks side by side, everybody under a time limit."""

    def __init__(self, desk: Desk, *, patience: float = PATIENCE, over: bool = False) -> None:
        self._desk = desk
        self._patience = patience
        self._over = over
        self._rows: dict[str, Row] = {}
        self._busy: set[tuple[str, str]] = set()
        # Each kind has slots of its own: a shop that hangs must not keep machines from being asked.
        self._slots = {what: asyncio.Semaphore(AT_ONCE) for what in ("shop", "machine", "books")}
        self._glimpses = MachineSampler(desk)
        self.reload()

    async def close(self) -> None:
        await self._glimpses.close()

    def rows(self) -> Sequence[Row]:
        """Every lease that is not over, oldest first, as it was last seen."""
        return tuple(self._rows.values())

    def row(self, lease: str) -> Row | None:
        return self._rows.get(lease)

    def reload(self) -> None:
        """Take up what the journal says: new leases, those that ended, what other processes found out."""
        leases = [lease for lease in self._desk.journal.leases() if self._over or not lease.over]
        unknown = TimeLeft(kind=TimeKind.UNKNOWN)
        self._rows = {
            lease.id: evolve(known, lease=lease)
            if (known := self._rows.get(lease.id))
            else Row(lease=lease, left=unknown)
            for lease in leases
        }

    async def refresh(
        self, leases: Collection[str] | None = None, books: Collection[str] | None = None
    ) -> None:
        """Ask the shops about ``leases``, the accounts for time, the shops' books about ``books`` (None: all).

        Machines are not asked.
        """
        await asyncio.gather(
            self.refresh_shops(self._known(leases)),
            self.refresh_money(),
            self.refresh_books(self._known(books)),
        )

    async def refresh_shops(self, leases: Iterable[str]) -> None:
        """One look at each lease by its shop."""
        await asyncio.gather(*(self._alone("shop", name, self._look) for name in leases))

    async def refresh_machines(self, leases: Collection[str]) -> None:
        """Load and last lines of the machines that run, over lines that stay open; all other lines are closed."""
        await self._glimpses.keep_only(leases)
        running = [name for name in leases if self._runs(name)]
        await asyncio.gather(*(self._alone("machine", name, self._glimpse) for name in running))

    async def refresh_money(self) -> None:
        """Time left of every lease, each account asked once; what they cost, as far as the ledger knows."""
        rows = list(self._rows.values())
        figures = await time_left(self._desk, [row.lease for row in rows])
        for row in rows:
            name, figure = row.lease.id, figures[row.lease.id]
            low = bool(below(figure.left, thresholds(self._desk, row.lease.provider)))
            self._put(name, left=figure, low=low)
            if not row.spent:
                self._put(name, spent=self._spent(name))

    async def refresh_books(self, leases: Iterable[str]) -> None:
        """What ``leases`` cost, by their shops' books as they are now."""
        await asyncio.gather(*(self._alone("books", name, self._books) for name in leases))

    def _known(self, leases: Collection[str] | None) -> list[str]:
        return [name for name in self._rows if leases is None or name in leases]

    def _runs(self, name: str) -> bool:
        row = self._rows.get(name)
        return row is not None and row.lease.state is LeaseState.READY and row.lease.endpoint is not None

    async def _alone(self, what: str, name: str, action: Callable[[str], Awaitable[None]]) -> None:
        """``action`` unless the same is still under way for this lease; never raises for anybody's fault."""
        if (what, name) in self._busy or name not in self._rows:
            return
        self._busy.add((what, name))
        try:
            async with self._slots[what]:
                await action(name)
        finally:
            self._busy.discard((what, name))

    async def _look(self, name: str) -> None:
        stale = await self._limited(self._desk.look(name))
        lease = self._desk.journal.lease(name)
        if lease is not None:
            self._put(name, lease=lease)
        if stale:
            self._put(name, stale=stale)
        else:
            self._put(name, stale="", asked_at=self._desk.clock.now())

    async def _glimpse(self, name: str) -> None:
        row = self._rows[name]
        before = row.glimpse
        found: list[MachineSample] = []

        async def look() -> None:
            found.append(await self._glimpses.look(row.lease))

        stale = await self._limited(look())
        if stale:
            await self._glimpses.drop(name)
        self._put(name, glimpse=evolve(before, stale=stale) if stale else found[0])

    async def _books(self, name: str) -> None:
        await self._limited(self._desk.books.sync(name, quiet=True))
        self._put(name, spent=self._spent(name))

    def _spent(self, name: str) -> tuple[Money, ...]:
        return tuple(total.spent for total in self._desk.books.spending(lease=name))

    async def _limited(self, asking: Awaitable[object]) -> str:
        """Why it failed, empty when it did not."""
        try:
            async with asyncio.timeout(self._patience):
                await asking
        except TimeoutError:
            return _("no answer within {seconds:g} s").format(seconds=self._patience)
        except GpurentError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - one broken plugin must not hide all other leases
            return f"{type(error).__name__}: {error}"
        return ""

    def _put(self, name: str, **changes: Any) -> None:
        row = self._rows.get(name)
        if row is not None:
            self._rows[name] = evolve(row, **changes)

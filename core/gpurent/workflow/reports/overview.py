"""An overview of all leases for live views. Rows are available at once; those that cannot be refreshed are stale."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, field, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import Money
from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.errors import GpurentError, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, OpenConnection
from gpurent.ports.system import Clock
from gpurent.remote.samples import parse_view_sample, view_sample_command
from gpurent.workflow.connection.ownership import OwnershipProof
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.leases import LeaseTracker

REFRESH_TIMEOUT = 15.0
MAX_CONCURRENT = 8
# Each kind has its own semaphore, so that a hanging provider does not block machines.
_SLOT_KINDS = ("provider", "machine", "statement")


@frozen(kw_only=True)
class MachineSample:
    """``load`` is the mean of all GPUs in percent, None without one; ``lines`` the end of the newest job's log.

    ``at``: when the machine last answered (provider time). ``stale_reason``: why the last attempt failed, or empty.
    """

    load: int | None = None
    lines: tuple[str, ...] = ()
    at: datetime | None = None
    stale_reason: str = ""


@define(eq=False)
class MachineSampler:
    """Samples machines, keeping one connection open to each."""

    connector: Connector
    ownership: OwnershipProof
    clock: Clock
    _connections: dict[str, OpenConnection] = field(factory=dict, init=False)

    async def take_sample(self, lease: Lease) -> MachineSample:
        """Sample the machine once. Raises `UnavailableError` if it does not answer."""
        connection = await self._get_connection(lease)
        result = await connection.run(view_sample_command())
        load, lines = parse_view_sample(result.stdout)
        return MachineSample(load=load, lines=lines, at=self.clock.now())

    async def _get_connection(self, lease: Lease) -> OpenConnection:
        known = self._connections.get(lease.id)
        if known is not None and known.is_alive and known.endpoint == lease.endpoint:
            return known
        await self.close_connection(lease.id)
        if lease.endpoint is None:
            raise UnavailableError(_("{lease} has no machine").format(lease=lease.id))
        if self.connector.find_pinned_host_key(lease.id, lease.endpoint) is None:
            # The first contact may be a question, for which there is no place on a live screen.
            raise UnavailableError(_("{lease}: not connected to yet").format(lease=lease.id))
        connection = await self.ownership.open_connection(lease, lease.endpoint, may_ask=False)
        self._connections[lease.id] = connection
        return connection

    async def close_connection(self, lease_id: str) -> None:
        connection = self._connections.pop(lease_id, None)
        if connection is not None:
            await connection.close()

    async def close_others(self, lease_ids: Collection[str]) -> None:
        for name in [name for name in self._connections if name not in lease_ids]:
            await self.close_connection(name)


@frozen(kw_only=True)
class LeaseRow:
    """One lease in its last known state.

    ``is_low``: the time left is below one of the user's thresholds. ``spent`` is from the ledger, one amount per
    currency. ``asked_at``: when its provider last answered (provider time), None if not yet. ``stale_reason``: why the
    last refresh failed, or empty. ``sample`` is from the machine itself.
    """

    lease: Lease
    time_left: TimeLeft = TimeLeft(kind=TimeKind.UNKNOWN)
    is_low: bool = False
    spent: tuple[Money, ...] = ()
    asked_at: datetime | None = None
    stale_reason: str = ""
    sample: MachineSample = MachineSample()

    @property
    def problem(self) -> str:
        """What is stale in this row and why; empty if nothing is."""
        return self.stale_reason or self.sample.stale_reason

    @property
    def stale_since(self) -> datetime | None:
        """Since when it is stale: the time of the last successful answer."""
        return self.asked_at if self.stale_reason else self.sample.at


@frozen
class LeaseTimes:
    """``get_time_left`` returns the time left by lease id, asking each account once.

    ``get_thresholds`` returns the warning thresholds of a provider.
    """

    get_time_left: Callable[[Sequence[Lease]], Awaitable[Mapping[str, TimeLeft]]]
    get_thresholds: Callable[[str], Collection[timedelta]]

    def is_low(self, provider: str, left: timedelta | None) -> bool:
        return left is not None and any(left < limit for limit in self.get_thresholds(provider))


@define(eq=False)
class LeaseOverview:
    """The rows of all leases; `reload_leases` comes first.

    `list_rows` makes no requests; the ``refresh_…`` methods make them concurrently.

    ``timeout`` is per request, in real seconds. ``include_over``: also show leases that are over.
    """

    leases: LeaseTracker
    bookkeeping: Bookkeeping
    sampler: MachineSampler
    times: LeaseTimes
    clock: Clock
    timeout: float = field(default=REFRESH_TIMEOUT, kw_only=True)
    include_over: bool = field(default=False, kw_only=True)
    _rows: dict[str, LeaseRow] = field(factory=dict, init=False)
    _busy: set[tuple[str, str]] = field(factory=set, init=False)
    _slots: dict[str, asyncio.Semaphore] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = {kind: asyncio.Semaphore(MAX_CONCURRENT) for kind in _SLOT_KINDS}

    async def close(self) -> None:
        await self.sampler.close_others(())

    def list_rows(self) -> Sequence[LeaseRow]:
        return tuple(self._rows.values())

    def find_row(self, lease_id: str) -> LeaseRow | None:
        return self._rows.get(lease_id)

    async def reload_leases(self) -> None:
        """Update the rows from the Store: new leases, ended ones, and changes made by other processes."""
        leases = await self.leases.list_leases(include_over=self.include_over)
        known = self._rows
        self._rows = {
            lease.id: evolve(known[lease.id], lease=lease) if lease.id in known else LeaseRow(lease=lease)
            for lease in leases
        }

    async def refresh_rows(
        self, leases: Collection[str] | None = None, statements: Collection[str] | None = None
    ) -> None:
        """Refresh ``leases`` from the providers, the time left, and the charges of ``statements`` from the accounts.

        None means all. Machines are not contacted.
        """
        await asyncio.gather(
            self._run_all("provider", self._select_known(leases), self._refresh_lease),
            self.refresh_time(),
            self._run_all("statement", self._select_known(statements), self._refresh_spent),
        )

    async def refresh_machines(self, leases: Collection[str]) -> None:
        """Sample the running machines among ``leases`` over connections that stay open; close all others."""
        await self.sampler.close_others(leases)
        running = [
            row.lease.id
            for row in self.list_rows()
            if row.lease.id in leases
            and row.lease.state is LeaseState.READY
            and row.lease.endpoint is not None
        ]
        await self._run_all("machine", running, self._refresh_sample)

    async def refresh_time(self) -> None:
        """Refresh the time left of all leases, asking each account once, and fill in costs from the ledger."""
        rows = self.list_rows()
        figures = await self.times.get_time_left([row.lease for row in rows])
        for row in rows:
            name, figure = row.lease.id, figures[row.lease.id]
            self._update_row(
                name, time_left=figure, is_low=self.times.is_low(row.lease.provider, figure.left)
            )
            if not row.spent:
                self._update_row(name, spent=await self._sum_spent(name))

    def _select_known(self, leases: Collection[str] | None) -> list[str]:
        return [name for name in self._rows if leases is None or name in leases]

    async def _run_all(
        self, kind: str, names: Iterable[str], action: Callable[[str], Awaitable[None]]
    ) -> None:
        await asyncio.gather(*(self._run_once(kind, name, action) for name in names))

    async def _run_once(self, kind: str, name: str, action: Callable[[str], Awaitable[None]]) -> None:
        """Run ``action`` for a lease, unless the same is already in progress."""
        if (kind, name) in self._busy or name not in self._rows:
            return
        self._busy.add((kind, name))
        try:
            async with self._slots[kind]:
                await action(name)
        finally:
            self._busy.discard((kind, name))

    async def _refresh_lease(self, name: str) -> None:
        stale = await self._catch_failure(self.leases.refresh_lease(name))
        self._update_row(name, lease=await self.leases.get_lease(name), stale_reason=stale)
        if not stale:
            self._update_row(name, asked_at=self.clock.now())

    async def _refresh_sample(self, name: str) -> None:
        row = self._rows[name]

        async def take_sample() -> None:
            self._update_row(name, sample=await self.sampler.take_sample(row.lease))

        stale = await self._catch_failure(take_sample())
        if stale:
            await self.sampler.close_connection(name)
            self._update_row(name, sample=evolve(row.sample, stale_reason=stale))

    async def _refresh_spent(self, name: str) -> None:
        await self._catch_failure(self.bookkeeping.sync_lease(name, quiet=True))
        self._update_row(name, spent=await self._sum_spent(name))

    async def _sum_spent(self, name: str) -> tuple[Money, ...]:
        return tuple(total.spent for total in await self.bookkeeping.sum_spending(lease=name))

    async def _catch_failure(self, asking: Awaitable[object]) -> str:
        """Await a request with a timeout; return why it failed, or an empty string."""
        try:
            async with asyncio.timeout(self.timeout):
                await asking
        except TimeoutError:
            return _("no answer within {seconds:g} s").format(seconds=self.timeout)
        except GpurentError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - one broken plugin must not hide all other leases
            return f"{type(error).__name__}: {error}"
        return ""

    def _update_row(self, name: str, **changes: Any) -> None:
        row = self._rows.get(name)
        if row is not None:
            self._rows[name] = evolve(row, **changes)

"""A connection to a machine that is opened again when it is dropped, as long as the machine is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

from attrs import define, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.errors import (
    AuthError,
    InputRequired,
    LeaseGone,
    RemoteError,
    Spent,
    UnavailableError,
)
from gpurent.locale import _
from gpurent.ports.connection import Connector, OpenConnection, SshConnection
from gpurent.ports.services import SecretStore
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.leases import LeaseTracker, mark_burning
from gpurent.workflow.runtime.waiting import Poller

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(seconds=30)
MOST_LOSSES = 1000


@frozen
class Connections:
    leases: LeaseTracker
    connector: Connector
    secrets: SecretStore
    poller: Poller
    events: EventEmitter

    def to(self, lease_id: str, trip: str = "") -> ReconnectingConnection:
        """A connection of its own; nothing is opened before it is used."""
        return ReconnectingConnection(self, lease_id, trip)

    @asynccontextmanager
    async def visit_lease(self, given: str) -> AsyncIterator[ReconnectingConnection]:
        """A connection to the lease ``given`` (an id, or how one begins), which is refreshed; closed at the end."""
        async with self.to(self.leases.find_lease(given).id) as connection:
            await connection.refresh_lease()
            yield connection


@define(eq=False)
class ReconnectingConnection:
    """Opened on first use; `do` repeats an idempotent action after a drop. ``trip``: whose events it emits."""

    _connections: Connections
    lease_id: str
    trip: str = ""
    _open: OpenConnection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def lease(self) -> Lease:
        """As it was last seen."""
        return self._connections.leases.find_lease(self.lease_id)

    def emit(self, kind: EventKind, text: str) -> None:
        self._connections.events.emit(kind, text, trip=self.trip, lease=self.lease_id)

    async def close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await opened.aclose()

    async def ssh(self) -> OpenConnection:
        """An open connection; waits while the machine is up and does not answer yet."""
        lost = self._open is not None and not self._open.alive
        if lost:
            await self._drop()
        if self._open is None:
            self._open = await self._connect(announced=lost)
        return self._open

    async def refresh_lease(self) -> Lease:
        """Ask the provider once how the lease stands; no answer changes nothing."""
        try:
            return await self._connections.leases.refresh_lease(self.lease_id)
        except (UnavailableError, InputRequired) as error:
            self.emit(EventKind.WARNING, error.message)
            return self.lease

    async def do(self, action: Callable[[SshConnection], Awaitable[T]]) -> T:
        """``action`` over an open connection, again from its start when that is dropped: it must be idempotent."""
        losses = 0
        while True:
            ssh = await self.ssh()
            try:
                return await action(ssh)
            except UnavailableError as error:
                losses += 1
                if not error.retryable or losses > MOST_LOSSES:
                    raise mark_burning(error, self.lease_id) from None
                if ssh is self._open and ssh.alive:
                    # It hangs rather than being dropped.
                    await self._drop()
                await self.refresh_lease()
                await self._connections.poller.pause(timedelta(seconds=1))

    async def _drop(self) -> None:
        self.emit(EventKind.LINE_LOST, _("the line is lost; reconnecting"))
        await self.close()

    async def _connect(self, *, announced: bool) -> OpenConnection:
        """``announced``: the user knows already that there is no connection."""
        waited, pause = timedelta(), FIRST_PAUSE
        while True:
            try:
                opened = await self._connect_once()
            except UnavailableError as error:
                if waited >= PATIENCE:
                    raise mark_burning(error, self.lease_id) from None
                if not announced:
                    announced = True
                    self.emit(EventKind.WAITING, _("the machine does not answer yet"))
            else:
                if announced:
                    self.emit(EventKind.LINE_BACK, _("connected"))
                return opened
            await self._connections.poller.pause(pause, 0.2)
            waited += pause
            pause = min(pause * 2, LONGEST_PAUSE)
            await self.refresh_lease()

    async def _connect_once(self) -> OpenConnection:
        lease = self.lease
        endpoint = endpoint_of(lease)
        password = self._connections.secrets.scoped(lease.provider).get(lease.password_ref)
        try:
            return await self._connections.connector.open(lease.id, endpoint, password)
        except (AuthError, RemoteError) as error:
            raise mark_burning(error, self.lease_id) from None


def endpoint_of(lease: Lease) -> Endpoint:
    """Where a machine that runs is reached; `LeaseGone` for every other."""
    if lease.state is LeaseState.READY and lease.endpoint is not None:
        return lease.endpoint
    hint = _("A session dies with its machine; nothing restores it.")
    if lease.state is LeaseState.KEPT and lease.kept_until is not None:
        hint = _("Its files are kept until {until:%Y-%m-%d %H:%M} UTC.").format(until=lease.kept_until)
    raise LeaseGone(
        _("{lease} is not running ({state}): {note}").format(
            lease=lease.id, state=lease.state.value, note=lease.note or "-"
        ),
        hint=hint,
        spent=Spent.YES,
    )

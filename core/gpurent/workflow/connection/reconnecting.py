"""An SSH connection that is reopened when it drops, as long as the machine exists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

from attrs import define, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.errors import (
    AuthError,
    InputRequired,
    LeaseGone,
    RemoteError,
    Spent,
    TransferHelperFailed,
    UnavailableError,
)
from gpurent.locale import _
from gpurent.ports.connection import OpenConnection, SshConnection
from gpurent.roles.lease import SupportsRestart, SupportsStart
from gpurent.workflow.connection.ownership import OwnershipProof
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.lease_observer import LeaseObserver
from gpurent.workflow.runtime.leases import LeaseTracker, add_burning_lease
from gpurent.workflow.runtime.start_deadline import StartDeadline
from gpurent.workflow.runtime.waiting import MIN_REAL_SECONDS, Poller

T = TypeVar("T")
CONNECT_TIMEOUT = timedelta(minutes=30)
MIN_RETRY_PAUSE, MAX_RETRY_PAUSE = timedelta(seconds=2), timedelta(seconds=30)
MAX_LOSSES = 1000
MAX_HELPER_FAILURES = 3
LONG_ATTEMPT = timedelta(minutes=10)
ANSWER_TIMEOUT = 15.0  # seconds for a command that does nothing


@frozen
class Connections:
    leases: LeaseTracker
    poller: Poller
    events: EventEmitter
    ownership: OwnershipProof

    def make_connection(self, lease_id: str, trip: str = "") -> ReconnectingConnection:
        """Return a new connection; it is opened on first use."""
        return ReconnectingConnection(self, lease_id, trip)

    @asynccontextmanager
    async def connect_to_lease(self, lease_id: str) -> AsyncIterator[ReconnectingConnection]:
        """Yield a connection to a lease, given by id or unique prefix; the lease is refreshed first. Closed on exit."""
        async with self.make_connection((await self.leases.get_lease(lease_id)).id) as connection:
            await connection.refresh_lease()
            yield connection


@define(eq=False)
class ReconnectingConnection:
    """An SSH connection that is opened on first use. `run_with_retry` repeats an idempotent action after a drop.

    ``trip_id`` is the trip to which its events belong. ``start_deadline``: until when a new machine has to answer.
    """

    _connections: Connections
    lease_id: str
    trip_id: str = ""
    start_deadline: StartDeadline | None = None
    _ssh: OpenConnection | None = None
    _observer: LeaseObserver | None = None
    _is_limit_told: bool = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def get_lease(self) -> Lease:
        """Return the lease in its last known state."""
        return await self._connections.leases.get_lease(self.lease_id)

    def emit(self, kind: EventKind, text: str) -> None:
        self._connections.events.emit(kind, text, trip=self.trip_id, lease=self.lease_id)

    async def close(self) -> None:
        opened, self._ssh = self._ssh, None
        if opened is not None:
            await opened.close()

    async def ensure_open(self) -> OpenConnection:
        """Return an open connection; wait while the machine is up but does not answer yet."""
        lost = self._ssh is not None and not self._ssh.is_alive
        if lost:
            await self._close_lost(_("connection lost; reconnecting"))
        if self._ssh is None:
            self._ssh = await self._connect(announced=lost)
        return self._ssh

    async def refresh_lease(self) -> Lease:
        """Ask the provider once for the lease's state; if its answer says nothing, return the last known state."""
        if self._observer is None:
            self._observer = LeaseObserver(
                self._connections.leases,
                self.lease_id,
                self._connections.poller.clock,
                lambda reason: self.emit(EventKind.WARNING, reason),
            )
        try:
            seen = await self._observer.observe()
        except InputRequired as error:
            self.emit(EventKind.WARNING, error.message)
            return await self.get_lease()
        return await self.get_lease() if isinstance(seen, Unknown) else seen

    async def run_with_retry(self, action: Callable[[SshConnection], Awaitable[T]]) -> T:
        """Run ``action`` over an open connection, and from its start again if that drops; it must be idempotent."""
        losses = 0
        while True:
            ssh = await self.ensure_open()
            try:
                return await self._run(action, ssh)
            except UnavailableError as error:
                losses += 1
                await self._raise_if_final(error, losses)
                await self._close_hanging(ssh, error)
                await self._pause()

    async def run_helper(self, action: Callable[[SshConnection], Awaitable[T]]) -> T:
        """Like `run_with_retry`, but a connection that still answers was not the cause of a failure.

        Such failures are told, and the third in a row raises `TransferHelperFailed`: what the action runs on the
        machine ends at once or hangs. An attempt that lasted longer than any hanging helper is waited for has done
        something, and starts a new row.
        """
        clock = self._connections.poller.clock
        losses = failures = 0
        while True:
            ssh, begun_at = await self.ensure_open(), clock.now()
            try:
                return await self._run(action, ssh)
            except UnavailableError as error:
                losses += 1
                await self._raise_if_final(error, losses)
                failures = failures if clock.now() - begun_at < LONG_ATTEMPT else 0
                if await _still_answers(ssh):
                    failures += 1
                    if failures == MAX_HELPER_FAILURES:
                        raise self._make_helper_error(error) from None
                    self.emit(EventKind.WARNING, error.message)
                else:
                    await self._close_hanging(ssh, error)
                await self._pause()

    async def _run(self, action: Callable[[SshConnection], Awaitable[T]], ssh: OpenConnection) -> T:
        try:
            return await action(ssh)
        finally:
            if ssh.is_session_limited and not self._is_limit_told:
                self._is_limit_told = True
                self.emit(
                    EventKind.PROGRESS,
                    _("the machine allows one session on a connection; each further one logs in by itself"),
                )

    def _make_helper_error(self, error: UnavailableError) -> TransferHelperFailed:
        hint = _("See why: gpurent ssh {lease}. Another transfer backend (--transfer) may work.")
        return TransferHelperFailed(error.message, hint=hint.format(lease=self.lease_id), detail=error.detail)

    async def _raise_if_final(self, error: UnavailableError, losses: int) -> None:
        if not error.retryable or losses > MAX_LOSSES:
            raise add_burning_lease(error, await self.get_lease()) from None

    async def _close_hanging(self, ssh: OpenConnection, error: UnavailableError) -> None:
        """Close a connection that hangs instead of dropping, or over which answers come that say nothing."""
        if ssh is self._ssh and ssh.is_alive:
            await self._close_lost(_("{why}; reconnecting").format(why=error.message))

    async def _pause(self) -> None:
        """Wait before the next try, and see whether the machine still exists."""
        await self.refresh_lease()
        await self._connections.poller.pause(timedelta(seconds=1))

    async def _close_lost(self, text: str) -> None:
        self.emit(EventKind.CONNECTION_LOST, text)
        await self.close()

    async def _connect(self, *, announced: bool) -> OpenConnection:
        """Connect with backoff. ``announced``: the user already knows that the connection is down."""
        waited, pause, begun = timedelta(), MIN_RETRY_PAUSE, asyncio.get_running_loop().time()
        while True:
            try:
                opened = await self._connect_once()
            except UnavailableError as error:
                await self._require_start(waited, begun)
                if waited >= CONNECT_TIMEOUT:
                    raise add_burning_lease(error, await self.get_lease()) from None
                if not announced:
                    announced = True
                    self.emit(EventKind.WAITING, _("the machine does not answer yet"))
            else:
                if announced:
                    self.emit(EventKind.CONNECTION_RESTORED, _("connected"))
                return opened
            await self._connections.poller.pause(pause, 0.2)
            waited += pause
            pause = min(pause * 2, MAX_RETRY_PAUSE)
            await self.refresh_lease()

    async def _require_start(self, waited: timedelta, begun: float) -> None:
        """Raise `StartFailed` if a new machine should have answered by now. Attempts take time as in `Poller.poll`."""
        deadline, now = self.start_deadline, self._connections.poller.clock.now()
        if deadline is None or now < deadline.at:
            return
        is_long = asyncio.get_running_loop().time() - begun >= MIN_REAL_SECONDS
        if is_long or now - waited >= deadline.at or waited >= deadline.within:
            raise deadline.make_error(await self.get_lease())

    async def _connect_once(self) -> OpenConnection:
        lease = await self.get_lease()
        provider = self._connections.leases.plugins.provider_of(lease)
        can_restart = isinstance(provider, SupportsStart if lease.is_stopped else SupportsRestart)
        endpoint = require_endpoint(lease, can_restart=can_restart)
        try:
            return await self._connections.ownership.open_connection(lease, endpoint)
        except (AuthError, RemoteError) as error:
            raise add_burning_lease(error, await self.get_lease()) from None


async def _still_answers(ssh: OpenConnection) -> bool:
    """Return whether a command can be run over the connection, whatever its result."""
    if not ssh.is_alive:
        return False
    try:
        await ssh.run(":", timeout=ANSWER_TIMEOUT)
    except UnavailableError:
        return False
    return True


def require_endpoint(lease: Lease, *, can_restart: bool) -> Endpoint:
    """Return the endpoint of a running machine, or of one that was last seen running.

    Raises `UnavailableError` if it is only starting, `LeaseGone` for any other.
    """
    if lease.state in (LeaseState.READY, LeaseState.MISSING) and lease.endpoint is not None:
        return lease.endpoint
    if lease.state in (LeaseState.PROVISIONING, LeaseState.MISSING):
        raise UnavailableError(
            _("{lease} is not running yet ({state}): {note}").format(
                lease=lease.id, state=lease.state.title, note=lease.note or "-"
            ),
            retryable=True,
        )
    hint = _("Sessions end when the machine shuts down and cannot be restored.")
    if (lease.state is LeaseState.KEPT or lease.is_kept_free) and lease.kept_until is not None:
        hint = _("Its files are kept until {until:%Y-%m-%d %H:%M} UTC.").format(until=lease.kept_until)
    elif lease.state is LeaseState.STOPPED:
        hint = _("Its files are kept and cost money until you release it.")
    if can_restart and lease.state in (LeaseState.KEPT, LeaseState.STOPPED):
        again = _("Start it again, which costs money: gpurent restart {lease}").format(lease=lease.id)
        hint = f"{hint}\n{again}"
    raise LeaseGone(
        _("{lease} is not running ({state}): {note}").format(
            lease=lease.id, state=lease.state.title, note=lease.note or "-"
        ),
        hint=hint,
        spent=Spent.YES,
    )

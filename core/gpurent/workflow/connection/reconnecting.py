"""A line to a machine that is taken up again when it is cut, as long as the machine is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.errors import AuthError, LeaseGone, RemoteError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection

if TYPE_CHECKING:
    from gpurent.infra.ssh.connection import AsyncsshConnection
    from gpurent.workflow.runtime.desk import Desk

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)


class ReconnectingConnection:
    """Opens on first use; `do` repeats an idempotent action after a cut."""

    def __init__(self, desk: Desk, lease_id: str, trip: str = "") -> None:
        self._desk = desk
        self._lease_id = lease_id
        self._trip = trip
        self._link: Any = None

    @property
    def desk(self) -> Desk:
        return self._desk

    @property
    def lease(self) -> Lease:
        return self._desk.lease(self._lease_id)

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()

    async def link(self) -> AsyncsshConnection:
        """An open link; waits while the machine is up and does not answer yet."""
        lost = self._link is not None and not self._link.alive
        if lost:
            self._tell(EventKind.LINE_LOST, _("the line is lost; reconnecting"))
            await self.close()
        if self._link is None:
            self._link = await self._open(told=lost)
        link: AsyncsshConnection = self._link
        return link

    async def _open(self, told: bool = False) -> Any:
        waited, pause = timedelta(), timedelta(seconds=2)
        while True:
            lease, endpoint = self._living(self.lease)
            vault = self._desk.vault.scoped(lease.provider)
            try:
                link = await self._desk.ssh.open(lease.id, endpoint, vault.get(lease.password_ref))
            except UnavailableError as error:
                if waited >= PATIENCE:
                    raise self._burning(error) from None
                if not told:
                    told = True
                    self._tell(EventKind.WAITING, _("the machine does not answer yet"))
            except (AuthError, RemoteError) as error:
                raise self._burning(error) from None
            else:
                if told:
                    self._tell(EventKind.LINE_BACK, _("connected"))
                return link
            await self._desk.pace(pause, floor=0.2)
            waited += pause
            pause = min(pause * 2, timedelta(seconds=30))
            await self.look()

    async def look(self) -> Lease:
        """Ask the shop how the lease stands; a shop that does not answer changes nothing."""
        try:
            return await self._desk.look(self._lease_id)
        except UnavailableError as error:
            self._tell(EventKind.WARNING, error.message)
            return self.lease

    def _living(self, lease: Lease) -> tuple[Lease, Endpoint]:
        if lease.state is LeaseState.READY and lease.endpoint is not None:
            return lease, lease.endpoint
        hint = ""
        if lease.state is LeaseState.KEPT and lease.kept_until is not None:
            hint = _("Its files are kept until {until:%Y-%m-%d %H:%M} UTC.").format(until=lease.kept_until)
        raise LeaseGone(
            _("{lease} is not running ({state}): {note}").format(
                lease=lease.id, state=lease.state.value, note=lease.note or "-"
            ),
            hint=hint or _("A session dies with its machine; nothing restores it."),
            spent=Spent.YES,
        )

    def _burning(self, error: Any) -> Any:
        if self._lease_id not in error.burning:
            error.burning = (*error.burning, self._lease_id)
        error.spent = Spent.YES
        return error

    def _tell(self, kind: EventKind, text: str) -> None:
        self._desk.tell(kind, text, trip=self._trip, lease=self._lease_id)

    async def do(self, action: Callable[[SshConnection], Awaitable[T]]) -> T:
        """``action`` over an open link, again from its start when the line was lost: it must be idempotent."""
        losses = 0
        while True:
            link = await self.link()
            try:
                return await action(link)
            except UnavailableError as error:
                losses += 1
                if not error.retryable or losses > 1000:
                    raise self._burning(error) from None
                if self._link is not None and self._link.alive:
                    # It hangs rather than being cut.
                    await self.close()
                    self._tell(EventKind.LINE_LOST, _("the line is lost; reconnecting"))
                await self.look()
                await self._desk.pace(timedelta(seconds=1), floor=0.1)

"""Step: release the machine."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease
from gpurent.errors import LeaseError, Spent
from gpurent.locale import _
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.lease_observer import LeaseObserver
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import Poller, WorkLocks

POLL_INTERVAL = timedelta(seconds=6)
RELEASE_TIMEOUT = timedelta(minutes=30)


@frozen
class ReleaseStep:
    """Idempotent; recorded once the provider reports that the lease is over."""

    leases: LeaseTracker
    plugins: Plugins
    locks: WorkLocks
    poller: Poller
    bookkeeping: Bookkeeping

    async def release_lease(self, trip: TripContext, lease_id: str) -> Lease:
        """Release the lease until the provider reports that it is over; then update the ledger from the account."""
        async with self.locks.lock_lease(lease_id):
            await trip.step("release", str, lambda: self._release_until_over(trip, lease_id))
        lease = self.leases.get_lease(lease_id)
        await self.bookkeeping.sync_account(lease.provider)
        return lease

    async def _release_until_over(self, trip: TripContext, lease_id: str) -> str:
        observer = LeaseObserver(
            self.leases,
            lease_id,
            self.poller.clock,
            lambda reason: trip.emit(EventKind.WARNING, reason, lease=lease_id),
        )
        asked = False

        async def ask() -> Lease | None:
            nonlocal asked
            seen = await observer.observe() if asked else self.leases.get_lease(lease_id)
            if isinstance(seen, Unknown):
                return None
            if seen.is_over and seen.pending is None:
                return seen
            asked = True
            lease = self.leases.save_lease(await self.plugins.provider_of(seen).release_lease(seen))
            return lease if lease.is_over else None

        lease = await self.poller.poll(ask, interval=POLL_INTERVAL, timeout=RELEASE_TIMEOUT)
        if lease is None:
            raise LeaseError(
                _("{lease} was released, but its provider has not confirmed that it ended").format(
                    lease=lease_id
                ),
                hint=_("Check the provider's page, then: gpurent release {lease}").format(lease=lease_id),
                spent=Spent.YES,
                burning=(lease_id,),
                retryable=True,
            )
        trip.emit(EventKind.RELEASED, lease.note, lease=lease.id, state=lease.state.value)
        return lease.state.value

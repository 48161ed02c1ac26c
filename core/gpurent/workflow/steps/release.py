"""Step: release the machine."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown, make_unknown
from gpurent.domain.lease import Lease
from gpurent.errors import GpurentError, LeaseError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.workflow.connection.ownership import OwnershipProof, suggest_release
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.lease_observer import LeaseObserver
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.waiting import Poller

POLL_INTERVAL = timedelta(seconds=6)
RELEASE_TIMEOUT = timedelta(minutes=30)


def _make_unconfirmed_error(lease: Lease, last: Unknown | None) -> GpurentError:
    """Return the error for a lease whose end the provider did not confirm in time; ``last``: its last odd answer."""
    hint = _("Check the provider's page, then: gpurent release {lease}").format(lease=lease.id)
    if lease.needs_proof and lease.ref:
        hint = suggest_release(lease)
    kind: type[GpurentError] = LeaseError
    text = _("{lease} was released, but its provider has not confirmed that it ended").format(lease=lease.id)
    if last is not None:
        kind = UnavailableError
        text = _("it is unknown whether {lease} was released: {reason}").format(
            lease=lease.id, reason=last.reason
        )
    return kind(text, hint=hint, spent=Spent.YES, burning=(lease.id,), retryable=True)


def _find_over(lease: Lease) -> Lease | None:
    """Return the lease if nothing of it burns: neither its machine nor that of an unfinished order."""
    return lease if lease.is_over and lease.pending is None else None


@frozen
class ReleaseStep:
    """Idempotent; recorded once the provider reports that the lease is over."""

    leases: LeaseTracker
    proof: OwnershipProof
    locks: WorkLocks
    poller: Poller
    bookkeeping: Bookkeeping

    async def release_lease(self, trip: TripContext, lease_id: str) -> Lease:
        """Release the lease until the provider reports that it is over; then update the ledger from the account."""
        async with self.locks.lock_lease(lease_id):
            await trip.step("release", str, lambda: self._release_until_over(trip, lease_id))
        lease = await self.leases.get_lease(lease_id)
        await self.bookkeeping.sync_account(lease.provider)
        return lease

    async def _request_release(self, lease: Lease) -> Lease | Unknown:
        try:
            ours = await self.proof.prove_for_release(lease)
        except UnavailableError as error:
            return make_unknown(error)
        return await self.leases.request_release(ours)

    async def _release_until_over(self, trip: TripContext, lease_id: str) -> str:
        observer = LeaseObserver.for_trip(trip, self.leases, lease_id, self.poller.clock, is_locked=True)
        asked = False

        async def ask() -> Lease | None:
            nonlocal asked
            lease = await self.leases.get_lease(lease_id)
            if asked or _find_over(lease) is not None:
                # What is over by our record is looked at once more.
                seen = None if observer.is_paused else await observer.observe()
                lease = await self.leases.get_lease(lease_id)
                must_wait = seen is None or (isinstance(seen, Unknown) and seen.retry_after is not None)
                if _find_over(lease) is not None or must_wait:
                    return _find_over(lease)
            asked = True
            # A provider that answers no question may release all the same.
            released = await self._request_release(lease)
            if isinstance(released, Unknown):
                observer.note_unknown(released)
                return None
            return _find_over(released)

        lease = await self.poller.poll(ask, interval=POLL_INTERVAL, timeout=RELEASE_TIMEOUT)
        if lease is None:
            raise _make_unconfirmed_error(await self.leases.get_lease(lease_id), observer.last_unknown)
        trip.emit(EventKind.RELEASED, lease.note, lease=lease.id, state=lease.state.value)
        return lease.state.value

"""A metered machine that its provider no longer lists is dropped once the account shows that it costs nothing."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered
from gpurent.locale import _
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.leases import LeaseTracker

UNCHARGED_TIME = timedelta(hours=24)


@frozen
class MissingLeases:
    leases: LeaseTracker
    bookkeeping: Bookkeeping

    async def end_if_uncharged(self, lease: Lease) -> Lease:
        """Return the lease, ended if it has been MISSING for a day in which its account charged nothing for it.

        Rent that was paid in advance is not charged again, so there the statement proves nothing.
        """
        now, since = self.leases.get_time(lease), lease.absent_since
        if (
            lease.state is not LeaseState.MISSING
            or not isinstance(lease.offer.tariff, Metered)
            or since is None
        ):
            return lease
        if lease.pending is not None or now - since < UNCHARGED_TIME:
            return lease
        charges = await self.bookkeeping.list_lease_charges(lease)
        if isinstance(charges, Unknown):
            return lease
        if any(charge.growing or charge.at > now - UNCHARGED_TIME for charge in charges.items):
            return lease
        note = _("its provider has not listed it, nor charged anything for it, for 24 hours")
        ended = evolve(
            lease.with_state(LeaseState.GONE, note), endpoint=None, ended_at=since, absent_since=None
        )
        return await self.leases.save_lease(evolve(ended, note=note, last_seen_state=None))

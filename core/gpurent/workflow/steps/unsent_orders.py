"""Leases for which their provider was never asked to do anything."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.lease import LeaseState
from gpurent.locale import _
from gpurent.workflow.payments.pay import Payments
from gpurent.workflow.runtime.leases import LeaseTracker


@frozen
class UnsentOrders:
    leases: LeaseTracker
    payments: Payments

    async def close_unsent_order(self, lease_id: str) -> bool:
        """Close a lease for which its provider was never asked to do anything; return whether it is such a lease."""
        lease = await self.leases.store.find_lease(lease_id)
        if lease is None or lease.is_over or lease.ref or lease.declared is not None:
            return False
        pending = lease.pending
        if pending is not None:
            if pending.ref or pending.sent_at is not None or pending.paid:
                return False
            if pending.bill is not None and await self.payments.may_be_paid(pending.bill):
                return False
        await self.leases.save_lease(
            evolve(lease.with_state(LeaseState.CANCELLED, _("never ordered")), pending=None)
        )
        return True

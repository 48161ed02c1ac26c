"""Orders that ended without a machine, which their provider lists after all."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.evidence import Unknown, make_unknown
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.offer import OrderKind
from gpurent.domain.orders import OrderOutcome
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.workflow.connection.contacts import PasswordProof
from gpurent.workflow.connection.ownership import OwnershipProof
from gpurent.workflow.runtime.leases import LeaseTracker


@frozen
class LateOrders:
    leases: LeaseTracker
    proof: OwnershipProof

    async def revive_lease(self, machine: Lease, ended: Sequence[Lease]) -> Lease | Unknown | None:
        """Return the lease that ``machine`` belongs to, alive again; None if it is of no order of ours.

        ``ended`` are our leases that are over. `Unknown` if that could not be checked now.
        """
        for lease in ended:
            if lease.ref or lease.offer.key != machine.offer.key or not await self._may_exist(lease):
                continue
            try:
                found = await self._ask_again(lease, machine)
            except GpurentError as error:
                return make_unknown(error)
            if found is not None:
                return await self.leases.save_lease(found)
        return None

    async def _may_exist(self, lease: Lease) -> bool:
        """Whether the order may have been carried out: it was placed, and its provider did not refuse it by name."""
        order = await self.leases.store.find_order(lease.label)
        return order is not None and order.outcome is not OrderOutcome.REFUSED

    async def _ask_again(self, lease: Lease, machine: Lease) -> Lease | None:
        """Return the lease with the machine of its order, if the provider finds it there and it proves to be ours."""
        order = PendingOrder(key=lease.label, kind=OrderKind.NEW, sent_at=self.leases.get_time(lease))
        asked = evolve(lease, state=LeaseState.PAYABLE, pending=order)
        answer = await self.leases.plugins.provider_of(lease).refresh_lease(asked)
        if not isinstance(answer, Lease) or answer.is_over or not answer.ref or answer.ref != machine.ref:
            return None
        is_proven = not answer.needs_proof or await self.proof.try_password(answer) is PasswordProof.ACCEPTED
        if not is_proven and not await self.proof.prove_by_elimination(answer):
            return None
        return evolve(
            lease.with_state(answer.state, _("its provider lists it after all")),
            ref=answer.ref,
            endpoint=answer.endpoint,
            access_source=answer.access_source,
            started_at=answer.started_at,
            expires_at=answer.expires_at,
            ended_at=None,
            needs_proof=not is_proven,
            claim=answer.claim,
            provider_data=answer.provider_data,
            completed_orders=(*lease.completed_orders, lease.label),
        )

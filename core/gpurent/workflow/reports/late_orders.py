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

    async def find_lease_of(self, machine: Lease) -> Lease | None:
        """Return a new lease of ``machine`` if it bears the key of an order of ours that has ended; else None.

        Something on the way may have sent a create twice, so that its refusal was about itself; the lease of that order
        may have another machine since.
        """
        order = await self.leases.store.find_order(machine.label) if machine.label else None
        account = self.leases.plugins.find_account(machine.provider)
        if (
            order is None
            or order.outcome is None
            or (order.provider, order.account) != (machine.provider, account)
        ):
            return None
        note = _("its provider lists it after all")
        found = evolve(machine, id=f"{order.lease}-{machine.ref}", account=account, note=note)
        return await self.leases.save_lease(found)

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
        # Elimination proves nothing here: since the order ended, somebody else may have created the machine.
        if answer.needs_proof and await self.proof.try_password(answer) is not PasswordProof.ACCEPTED:
            return None
        return evolve(
            lease.with_state(answer.state, _("its provider lists it after all")),
            ref=answer.ref,
            endpoint=answer.endpoint,
            access_source=answer.access_source,
            started_at=answer.started_at,
            expires_at=answer.expires_at,
            ended_at=None,
            provider_data=answer.provider_data,
            completed_orders=(*lease.completed_orders, lease.label),
        )

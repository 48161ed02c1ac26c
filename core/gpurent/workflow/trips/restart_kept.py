"""Starts a trip's machine again that was shut down to keep its results, as a new lease of the same trip."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Order
from gpurent.domain.trip import AgreedPrice, TripSpec
from gpurent.locale import _
from gpurent.roles.lease import SupportsRestart
from gpurent.workflow.payments.order_pricing import OrderPricer
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.provision import ProvisionStep

_LEASE_STEP = "lease"


def lease_id_of(trip_id: str, spec: TripSpec) -> str:
    """Return the id of the trip's lease, which is known before the lease exists."""
    return spec.lease or f"{spec.provider}-{trip_id.rpartition('-')[2]}"


async def list_earlier_leases(trip: TripContext, first: str) -> tuple[str, ...]:
    """Return the leases that the trip had before its current one; ``first`` is the one that it began with."""
    restarted = [
        lease for _step, lease in await trip.store.list_recorded_steps(trip.id, f".{_LEASE_STEP}", str)
    ]
    return (first, *restarted)[:-1]


async def find_restarted_lease(trip: TripContext) -> tuple[int, str]:
    """Return the number of restarts of this trip, and the id of the last restarted lease; 0 and empty if none."""
    found = await trip.store.list_recorded_steps(trip.id, f".{_LEASE_STEP}", str)
    return (len(found), found[-1][1]) if found else (0, "")


async def link_restarted_lease(trip: TripContext, lease_id: str) -> None:
    """Make a lease that the user restarted himself the machine of an open trip."""
    count, _last = await find_restarted_lease(trip)
    for name in (f"restart{count + 1}.{_LEASE_STEP}", f"restart{count + 1}.ready"):
        await trip.store.begin_step(trip.id, name)
        await trip.store.record_step(trip.id, name, lease_id)
    await trip.store.set_trip_lease(trip.id, lease_id)


@frozen
class KeptRestart:
    leases: LeaseTracker
    plugins: Plugins
    pricer: OrderPricer
    provision: ProvisionStep

    async def restart_if_kept(self, trip: TripContext, lease_id: str) -> str:
        """Return the id of the trip's running lease: a new one if the machine of ``lease_id`` was shut down.

        An interrupted restart is continued. A machine that cannot be started again keeps its lease.
        """
        count, restarted = await find_restarted_lease(trip)
        if restarted and await trip.step_done_at(f"restart{count}.ready") is None:
            return await self._restart(trip, count, restarted)
        lease = await self.leases.try_refresh_lease(restarted or lease_id)
        if lease.state is not LeaseState.KEPT or not self.can_restart(lease):
            return lease.id
        new_id = f"{lease_id}-{count + 2}"
        await trip.record_result(f"restart{count + 1}.order", self._make_order(trip, lease, count + 1))
        await trip.record_result(f"restart{count + 1}.{_LEASE_STEP}", new_id)
        trip.emit(EventKind.WAITING, _("{lease}: starting the machine again").format(lease=lease.id))
        return await self._restart(trip, count + 1, new_id)

    def can_restart(self, lease: Lease) -> bool:
        return isinstance(self.plugins.provider_of(lease), SupportsRestart)

    def _make_order(self, trip: TripContext, lease: Lease, number: int) -> Order:
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRestart):
            raise TypeError(f"{lease.id} cannot be restarted")
        order = provider.make_restart_order(lease, f"{trip.id}-restart{number}")
        return evolve(order, password_ref=f"password-{trip.id}-{number}")

    async def _restart(self, trip: TripContext, number: int, lease_id: str) -> str:
        leg = f"restart{number}"
        await trip.store.set_trip_lease(trip.id, lease_id)
        order = await trip.find_result(f"{leg}.order", Order)
        if order is None:
            raise LookupError(f"{leg} has no order")
        price = await trip.step(
            f"{leg}.quote", Funding, lambda: self.pricer.price_order(trip.id, order), quiet=True
        )
        agreed = AgreedPrice(ceiling=price.ceiling, deposit=price.deposit, rate=price.rate)
        await self.provision.provision_lease(trip, leg, order, lease_id, agreed)
        return lease_id

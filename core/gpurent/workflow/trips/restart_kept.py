"""Starts a trip's machine again that was shut down to keep its results, as a new lease of the same trip."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered, Order
from gpurent.domain.provider_names import make_id_prefix
from gpurent.domain.trip import AgreedPrice, TripLimits, TripSpec
from gpurent.errors import GpurentError, LeaseError, SoldOut
from gpurent.locale import _
from gpurent.roles.lease import SupportsRestart
from gpurent.workflow.payments.order_pricing import OrderPricer
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, TripContext
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.keep_results import find_kept_results
from gpurent.workflow.steps.provision import ProvisionStep
from gpurent.workflow.trips.machine_stops import MachineStarter, explain_failed_start
from gpurent.workflow.trips.proposals import propose_order
from gpurent.workflow.trips.restarted_leases import (
    RestartedLeases,
    count_restarts,
    link_restarted_lease,
    list_restarted_leases,
    record_restarted_lease,
)


def lease_id_of(trip_id: str, spec: TripSpec) -> str:
    """Return the id of the trip's lease, which is known before the lease exists."""
    return spec.lease or f"{make_id_prefix(spec.provider)}-{trip_id.rpartition('-')[2]}"


async def list_earlier_leases(trip: TripContext, first: str) -> tuple[str, ...]:
    """Return the leases that the trip had before its current one; ``first`` is the one that it began with."""
    return (first, *await list_restarted_leases(trip))[:-1]


@frozen
class KeptRestart:
    leases: LeaseTracker
    plugins: Plugins
    pricer: OrderPricer
    provision: ProvisionStep
    restarted: RestartedLeases
    starter: MachineStarter

    async def restart_if_kept(self, trip: TripContext, first: str) -> str:
        """Return the id of the trip's running lease: a new one if its machine was shut down.

        ``first`` is the lease that the trip began with. An interrupted restart is continued, and one that the user made
        is the trip's. A machine that cannot be started again keeps its lease. If the provider refuses the restart, the
        trip keeps the lease that it had. Raises `LeaseError` if somebody else started the machine.
        """
        current = (first, *await list_restarted_leases(trip))[-1]
        number = await count_restarts(trip)
        if number and await self._is_restarting(trip, number, first):
            return await self._restart(trip, number, first, current)
        lease = await self.find_restarted(trip, await self.leases.try_refresh_lease(current))
        if lease.state is LeaseState.STOPPED and self.starter.can_start(lease):
            return (await self._start(trip, lease)).id
        if lease.state is not LeaseState.KEPT or not self.can_restart(lease):
            return lease.id
        await trip.record_result(f"restart{number + 1}.order", self._make_order(trip, lease, number + 1))
        trip.emit(EventKind.WAITING, _("{lease}: starting the machine again").format(lease=lease.id))
        return await self._restart(trip, number + 1, first, lease.id)

    async def _start(self, trip: TripContext, lease: Lease) -> Lease:
        try:
            return await self.starter.start_machine(trip, lease)
        except GpurentError as error:
            explain_failed_start(error, lease)
            raise

    def can_restart(self, lease: Lease) -> bool:
        """Whether the machine can be started again, as this or another lease."""
        if lease.state is LeaseState.STOPPED:
            return self.starter.can_start(lease)
        return isinstance(self.plugins.provider_of(lease), SupportsRestart)

    async def _is_restarting(self, trip: TripContext, number: int, first: str) -> bool:
        """Whether the trip's last restart was begun, and neither done nor given up."""
        if await trip.step_done_at(f"restart{number}.ready") is not None:
            return False
        new_id, store = _make_restarted_id(first, number), self.leases.store
        lease = await store.find_lease(new_id)
        return await store.find_open_order(new_id) is not None or (lease is not None and not lease.is_over)

    async def find_restarted(self, trip: TripContext, lease: Lease) -> Lease:
        """Return the lease as which another command started the trip's machine again; else ``lease``.

        Raises `LeaseError` while that command is at it, or if the machine runs as a lease that is not known here.
        """
        again = await self.restarted.find_restart(lease)
        if again is None:
            if lease.state is LeaseState.RELEASED and lease.kept_until is None and self.can_restart(lease):
                await self._require_ours(trip, lease)
            return lease
        await self.restarted.require_no_open_order(again)
        await link_restarted_lease(trip, again.id)
        return await self.leases.try_refresh_lease(again.id)

    async def _require_ours(self, trip: TripContext, lease: Lease) -> None:
        """Raise `LeaseError` if the machine that was shut down for the trip's results runs as no lease of ours."""
        if lease.release_requested_at is None and await find_kept_results(trip.store, trip.id, lease.id):
            raise LeaseError(
                _("{lease}: {note}, which is not known here").format(lease=lease.id, note=lease.note),
                hint=_("Take it over, so that the trip can use it: gpurent orphans --adopt {ref}").format(
                    ref=lease.ref
                ),
            )

    def _make_order(self, trip: TripContext, lease: Lease, number: int) -> Order:
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRestart):
            raise TypeError(f"{lease.id} cannot be restarted")
        order = provider.make_restart_order(lease, f"{trip.id}-restart{number}")
        return evolve(order, password_ref=f"password-{trip.id}-{number}", restarts=lease.id)

    async def _restart(self, trip: TripContext, number: int, first: str, current: str) -> str:
        leg, new_id = f"restart{number}", _make_restarted_id(first, number)
        order = await trip.find_result(f"{leg}.order", Order)
        if order is None:
            raise LookupError(f"{leg} has no order")
        price = await trip.step(
            f"{leg}.quote", Funding, lambda: self.pricer.price_order(trip.id, order), quiet=True
        )
        await self._authorize(trip, leg, order, price)
        agreed = AgreedPrice(ceiling=price.ceiling, deposit=price.deposit, rate=price.rate)
        try:
            await self.provision.provision_lease(trip, leg, order, new_id, agreed)
        except GpurentError as error:
            if isinstance(error, SoldOut) or not isinstance(error, INCONCLUSIVE_ERRORS):
                await self._give_up(trip, new_id, current)
            raise
        await record_restarted_lease(trip, number, new_id)
        return new_id

    async def _authorize(self, trip: TripContext, leg: str, order: Order, price: Funding) -> None:
        """Ask the user for the price of a prepaid machine: the time that the trip had agreed to is used up."""
        if isinstance(order.offer.tariff, Metered) or await trip.step_done_at(f"{leg}.reserve") is not None:
            return
        record = await trip.store.find_trip(trip.id)
        provider = order.offer.provider
        proposal = propose_order(
            order, price, await self.pricer.budgets.list_limits(provider, trip.id), lease=None
        )
        await self.starter.authorizer.require_extra_authorization(
            trip, f"{leg}.authorize", provider, record.spec.limits if record else TripLimits(), proposal
        )

    async def _give_up(self, trip: TripContext, new_id: str, current: str) -> None:
        """Leave the trip the lease ``current``, unless something of the refused restart may be left."""
        async with self.provision.locks.lock_lease(new_id):
            is_dropped = await self.provision.records.abandon_unpaid_order(trip.id, new_id)
        lease = await self.leases.store.find_lease(new_id)
        if is_dropped and (lease is None or lease.is_over):
            await trip.store.set_trip_lease(trip.id, current)


def _make_restarted_id(first: str, number: int) -> str:
    return f"{first}-{number + 1}"

"""Orders on leases that the user asks for: priced within the budgets, authorized, and carried out at that price."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Order, OrderKind
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import AgreedPrice, TripLimits, TripRecord, TripSpec
from gpurent.errors import ConfirmationRequired, Declined, GpurentError, LeaseError, UsageError
from gpurent.locale import _
from gpurent.roles.lease import SupportsRenewal, SupportsRestart
from gpurent.workflow.payments.authorize_spending import SpendingAuthorizer
from gpurent.workflow.payments.order_pricing import OrderPricer
from gpurent.workflow.payments.quotes import Funding, order_term
from gpurent.workflow.reports.offers import OfferListing
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, TripContext, TripTracker
from gpurent.workflow.runtime.leases import LeaseTracker, require_running
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.order_records import make_unfinished_order_error
from gpurent.workflow.steps.provision import ProvisionStep
from gpurent.workflow.timing.timers import TimerCommands
from gpurent.workflow.trips.finish import add_resume_hint
from gpurent.workflow.trips.plan_legs import has_ordered
from gpurent.workflow.trips.proposals import propose_order
from gpurent.workflow.trips.releases import Releases
from gpurent.workflow.trips.restart_kept import lease_id_of, link_restarted_lease


@frozen
class LeaseChanges:
    """Changes to a lease that the user asks for; each is one order."""

    leases: LeaseTracker
    plugins: Plugins
    listing: OfferListing
    orders: LeaseOrders
    timers: TimerCommands

    async def renew(self, lease_id: str, term: timedelta) -> Lease:
        """Buy more time for a prepaid lease, and extend its timer by as much."""
        lease = await self.leases.try_refresh_lease(lease_id)
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRenewal):
            raise UsageError(
                _(
                    "{provider} does not support renewal: the machine runs as long as the balance lasts"
                ).format(provider=lease.provider),
                hint=_("Top up instead: gpurent topup {provider} AMOUNT").format(provider=lease.provider),
            )
        require_running(lease)
        order = provider.make_renewal_order(lease, term, "")
        renewed = await self.orders.place_order("renew", lease, TripSpec(provider=lease.provider), order)
        await self.timers.extend_after_renewal(lease, renewed)
        return renewed

    async def upgrade(self, lease_id: str, spec: TripSpec) -> Lease:
        """Switch from the staging machine to the wanted one."""
        lease = await self.leases.try_refresh_lease(lease_id)
        require_running(lease)
        # At the same provider, and on the same machine unless another one is named.
        wanted = evolve(spec.requirements, machine=spec.requirements.machine or lease.offer.key)
        found = await self.listing.list_fitting_offers(lease.provider, wanted)
        if isinstance(found, Unknown) or not found.items:
            reason = (
                found.reason
                if isinstance(found, Unknown)
                else _("no GPU of this kind is free on this machine")
            )
            raise LeaseError(reason, hint=_("Your staged machine keeps running."), burning=(lease.id,))
        offer = found.items[0]
        order = Order(
            key="",
            kind=OrderKind.SWITCH,
            offer=offer,
            term=order_term(offer, spec.limits.term),
            gpus=spec.requirements.gpus,
            disk=spec.requirements.disk,
            image=spec.requirements.image,
            password_ref=lease.password_ref,
        )
        return await self.orders.place_order("upgrade", lease, spec, order)

    async def restart(self, lease_id: str) -> Lease:
        """Restart a stopped machine with its kept files, as a new lease."""
        lease = await self.leases.try_refresh_lease(lease_id)
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRestart) or lease.state is not LeaseState.KEPT:
            raise UsageError(_("{lease} cannot be restarted").format(lease=lease.id))
        spec = TripSpec(provider=lease.provider)
        restarted = await self.orders.place_new_order(
            "restart", spec, lambda key: provider.make_restart_order(lease, key)
        )
        for record in self.orders.trip_tracker.list_trips(lease.id):
            if record.is_open and record.kind == "run":
                link_restarted_lease(self.orders.trip_tracker.context_of(record.id), restarted.id)
        return restarted


@frozen
class LeaseOrders:
    """Prices an order within the budgets, then carries it out at that price."""

    trip_tracker: TripTracker
    pricer: OrderPricer
    authorizer: SpendingAuthorizer
    provision: ProvisionStep
    releases: Releases

    async def place_order(self, kind: str, lease: Lease, spec: TripSpec, order: Order) -> Lease:
        """Place ``order`` on an existing lease; return the updated lease.

        The same order again resumes the unfinished one. Raises `LeaseError` if another order is unfinished.
        """
        unfinished = self._find_unfinished_trip(kind, lease, order)
        trip = unfinished or self.trip_tracker.begin_trip(kind, spec, lease.id)
        try:
            return await self._run_order_trip(trip, lease.id, evolve(order, key=f"{trip.id}-{kind}"))
        except GpurentError as error:
            self._fail_unpaid_order(trip, lease.id, error)
            raise

    def _find_unfinished_trip(self, kind: str, lease: Lease, order: Order) -> TripContext | None:
        """Return the trip that placed the same order on the lease and did not finish; None if there is none."""
        record = self.provision.leases.store.find_open_order(lease.id)
        if record is None:
            return None
        trip = self.trip_tracker.context_of(record.trip)
        placed = trip.find_result("order", Order)
        if (
            placed is None
            or record.key != f"{trip.id}-{kind}"
            or evolve(placed, key="") != evolve(order, key="")
        ):
            raise make_unfinished_order_error(record)
        trip.emit(
            EventKind.WARNING,
            _("trip {trip} has begun this already and did not finish; continuing with it").format(
                trip=trip.id
            ),
            lease=lease.id,
        )
        return trip

    async def place_new_order(self, kind: str, spec: TripSpec, make_order: Callable[[str], Order]) -> Lease:
        """Place the order that ``make_order`` returns for a key; return the new lease."""
        trip = self.trip_tracker.begin_trip(kind, spec)
        lease_id = lease_id_of(trip.id, spec)
        trip.store.set_trip_lease(trip.id, lease_id)
        order = evolve(make_order(f"{trip.id}-{kind}"), password_ref=f"password-{trip.id}")
        try:
            return await self._run_order_trip(trip, lease_id, order)
        except GpurentError as error:
            self._fail_unpaid_order(trip, lease_id, error)
            raise

    def _fail_unpaid_order(self, trip: TripContext, lease_id: str, error: GpurentError) -> None:
        """End a trip whose order cannot succeed, unless money or a request for it may be on the way."""
        if error.retryable or isinstance(error, INCONCLUSIVE_ERRORS):
            return
        if self.provision.records.abandon_unpaid_order(trip.id, lease_id):
            self.trip_tracker.fail_trip(trip.id, error)
        else:
            add_resume_hint(error, trip.id)

    async def _run_order_trip(self, trip: TripContext, lease_id: str, order: Order) -> Lease:
        with self.trip_tracker.lock_trip(trip.id):
            order = await trip.record_result("order", order)
            try:
                await self._authorize(trip, lease_id, order)
            except (ConfirmationRequired, Declined) as error:
                self.trip_tracker.fail_trip(trip.id, error)
                raise
            lease = await self.execute_order(trip, lease_id, order)
            self.trip_tracker.end_trip(trip.id)
        return lease

    async def resume_trip(self, trip: TripContext, record: TripRecord) -> Receipt | None:
        """Resume a trip that only orders or releases; return the receipt of a release.

        Raises `UsageError` if nothing was ordered.
        """
        if record.kind == "release":
            return await self.releases.execute_release(trip, record.lease)
        order = trip.find_result("order", Order)
        if order is None:
            self.trip_tracker.end_trip(trip.id, "failed: nothing ordered")
            raise UsageError(_("{trip} has not ordered anything; start it again").format(trip=trip.id))
        await self._authorize(trip, record.lease, order)
        await self.execute_order(trip, record.lease, order)
        return None

    async def _authorize(self, trip: TripContext, lease_id: str, order: Order) -> None:
        """Ask the user for the price of the order, unless it has already been placed."""
        if has_ordered(trip):
            return
        price = await self._price_once(trip, order)
        limits = self.pricer.budgets.list_limits(order.offer.provider, trip.id)
        proposal = propose_order(order, price, limits, self.provision.leases.store.find_lease(lease_id))
        await self.authorizer.require_authorization(trip, order.offer.provider, TripLimits(), proposal)

    async def _price_once(self, trip: TripContext, order: Order) -> Funding:
        return await trip.step("quote", Funding, lambda: self.pricer.price_order(trip.id, order), quiet=True)

    async def execute_order(self, trip: TripContext, lease_id: str, order: Order) -> Lease:
        """Price the order once, then provision the lease at that price, which has been authorized."""
        price = await self._price_once(trip, order)
        agreed = AgreedPrice(ceiling=price.ceiling, deposit=price.deposit, rate=price.rate)
        return await self.provision.provision_lease(trip, "leg0", order, lease_id, agreed)

"""Single orders, on leases or for new ones: priced within the budgets, authorized, then carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from attrs import evolve, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.offer import Order
from gpurent.domain.outcomes import NOTHING_ORDERED, OutcomeKind, TripOutcome
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import AgreedPrice, TripLimits, TripRecord, TripSpec
from gpurent.errors import (
    BusyError,
    ConfirmationRequired,
    Declined,
    GpurentError,
    LeaseError,
    StorageError,
    UsageError,
)
from gpurent.locale import _
from gpurent.workflow.payments.authorize_spending import SpendingAuthorizer
from gpurent.workflow.payments.order_pricing import OrderPricer
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.payments.trip_spending import TripSpending
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, TripContext, TripTracker
from gpurent.workflow.runtime.leases import add_burning_lease
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.steps.order_records import make_unfinished_order_error
from gpurent.workflow.steps.provision import ProvisionStep
from gpurent.workflow.trips.finish import add_resume_hint
from gpurent.workflow.trips.plan_legs import has_ordered
from gpurent.workflow.trips.proposals import propose_order
from gpurent.workflow.trips.releases import Releases
from gpurent.workflow.trips.restart_kept import lease_id_of
from gpurent.workflow.trips.restarted_leases import RestartedLeases

ShowLease = Callable[[Lease], Awaitable[None]]


@frozen
class LeaseOrders:
    """Prices an order within the budgets, then carries it out at that price."""

    trip_tracker: TripTracker
    pricer: OrderPricer
    authorizer: SpendingAuthorizer
    provision: ProvisionStep
    releases: Releases
    spending: TripSpending
    restarted: RestartedLeases

    async def place_order(
        self, kind: str, lease: Lease, spec: TripSpec, order: Order, *, show: ShowLease
    ) -> Lease:
        """Place ``order`` on an existing lease; return the updated lease.

        The same order again resumes the unfinished one. Raises `LeaseError` if another order is unfinished. ``show`` is
        awaited with the lease before the trip ends, see `TripTracker.end_shown_trip`.
        """
        unfinished = await self._find_unfinished_trip(kind, lease, order)
        trip = unfinished or await self.trip_tracker.begin_trip(kind, spec, lease.id)
        try:
            return await self._run_order_trip(trip, lease.id, evolve(order, key=f"{trip.id}-{kind}"), show)
        except GpurentError as error:
            await self._fail_unpaid_order(trip, lease.id, error)
            raise

    async def find_interrupted_trip(self, kind: str, lease: Lease, spec: TripSpec) -> TripContext | None:
        """Return the trip that began the same order by the same ``spec`` and did not finish; None if there is none.

        Raises `LeaseError` if another order is unfinished.
        """
        record = await self.provision.leases.store.find_open_order(lease.id)
        if record is None:
            unended = await self._list_unended_trips(kind, lease)
            trips = [trip for trip, begun in unended if begun.spec == spec]
        else:
            begun = await self.trip_tracker.store.find_trip(record.trip)
            if begun is None or begun.kind != kind or begun.spec != spec:
                raise make_unfinished_order_error(record)
            trips = [self.trip_tracker.context_of(begun.id)]
        trip = next(iter(trips), None)
        if trip is not None:
            trip.announce_continuation(lease.id)
        return trip

    async def _list_unended_trips(self, kind: str, lease: Lease) -> Sequence[tuple[TripContext, TripRecord]]:
        """Return the open trips of ``kind`` that have placed their order on the lease; it may have arrived since."""
        records = await self.trip_tracker.store.list_trips(lease.id)
        opened = [record for record in records if record.kind == kind and record.is_open]
        trips = [(self.trip_tracker.context_of(record.id), record) for record in opened]
        return [(trip, record) for trip, record in trips if await has_ordered(trip)]

    async def continue_restart(self, lease: Lease, *, show: ShowLease) -> Lease | None:
        """Continue the trip that began to start the machine of ``lease`` again; None if there is no unfinished one."""
        for record in await self.trip_tracker.store.list_open_trips():
            trip = self.trip_tracker.context_of(record.id)
            order = await trip.find_result("order", Order) if record.kind == "restart" else None
            if order is not None and order.restarts == lease.id:
                trip.announce_continuation(record.lease)
                return await self.continue_order(trip, record.lease, show=show)
        return None

    async def continue_order(self, trip: TripContext, lease_id: str, *, show: ShowLease) -> Lease:
        """Continue the order of a trip that did not finish it; return the updated lease."""
        order = await trip.find_result("order", Order)
        if order is None:
            raise LeaseError(_("{trip} has not ordered anything; start it again").format(trip=trip.id))
        return await self._run_order_trip(trip, lease_id, order, show)

    async def _find_unfinished_trip(self, kind: str, lease: Lease, order: Order) -> TripContext | None:
        """Return the trip that placed the same order on the lease and did not finish; None if there is none."""
        record = await self.provision.leases.store.find_open_order(lease.id)
        if record is None:
            trips = [trip for trip, _begun in await self._list_unended_trips(kind, lease)]
        else:
            trips = [self.trip_tracker.context_of(record.trip)]
        for trip in trips:
            if await self._is_same_order(trip, kind, order):
                trip.announce_continuation(lease.id)
                return trip
        if record is not None:
            raise make_unfinished_order_error(record)
        return None

    async def _is_same_order(self, trip: TripContext, kind: str, order: Order) -> bool:
        placed = await trip.find_result("order", Order)
        return placed is not None and placed == evolve(order, key=f"{trip.id}-{kind}")

    async def place_new_order(
        self, kind: str, spec: TripSpec, make_order: Callable[[str], Order], *, show: ShowLease
    ) -> Lease:
        """Place the order that ``make_order`` returns for a key; return the new lease."""
        trip = await self.trip_tracker.begin_trip(kind, spec)
        lease_id = lease_id_of(trip.id, spec)
        await trip.store.set_trip_lease(trip.id, lease_id)
        order = evolve(make_order(f"{trip.id}-{kind}"), password_ref=f"password-{trip.id}")
        try:
            return await self._run_order_trip(trip, lease_id, order, show)
        except GpurentError as error:
            await self._fail_unpaid_order(trip, lease_id, error)
            raise

    async def _fail_unpaid_order(self, trip: TripContext, lease_id: str, error: GpurentError) -> None:
        """End a trip whose order cannot succeed, unless money or a request for it may be on the way."""
        if error.retryable or isinstance(error, INCONCLUSIVE_ERRORS):
            return
        # A Store that fails here too is the same trouble again, and the trip stays open. Until it is locked, another
        # process may resume it, or end it.
        with suppress(StorageError, BusyError, UsageError):
            await self._end_unpaid_order(trip, lease_id, error)

    async def _end_unpaid_order(self, trip: TripContext, lease_id: str, error: GpurentError) -> None:
        async with (
            self.trip_tracker.lock_open_trip(trip.id),
            self.provision.locks.lock_lease(lease_id),
        ):
            if await self.provision.records.abandon_unpaid_order(trip.id, lease_id):
                await self.trip_tracker.fail_trip(trip.id, error)
            else:
                add_resume_hint(error, trip.id)

    async def _run_order_trip(self, trip: TripContext, lease_id: str, order: Order, show: ShowLease) -> Lease:
        async with self.trip_tracker.lock_trip(trip.id):
            try:
                order = await trip.record_result("order", order)
                await self._authorize_new(trip, lease_id, order)
                lease = await self.execute_order(trip, lease_id, order)
            except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends by its rule
                await trip.require_lock()
                error = to_gpurent_error(raised)
                await self._add_consequences(trip, lease_id, error)
                raise error from error.__cause__
            await self.trip_tracker.end_shown_trip(trip.id, lambda: show(lease))
        return lease

    async def _add_consequences(self, trip: TripContext, lease_id: str, error: GpurentError) -> None:
        """Let ``error`` say what this order has spent, and which machine costs money."""
        with suppress(StorageError):
            # What the machine cost before this order is not this order's.
            spent = await self.spending.find_spending(trip.id, error)
            lease = await self.releases.leases.store.find_lease(lease_id)
            is_unchanged = isinstance(error, ConfirmationRequired | Declined)
            if lease is not None and lease.has_cost and not is_unchanged:
                add_burning_lease(error, lease)
            error.spent = spent

    async def _authorize_new(self, trip: TripContext, lease_id: str, order: Order) -> None:
        """As `_authorize`, but without a yes the trip ends: only its command asks again."""
        try:
            await self._authorize(trip, lease_id, order)
        except (ConfirmationRequired, Declined) as error:
            await self.trip_tracker.fail_trip(trip.id, error)
            raise

    async def resume_trip(self, trip: TripContext, record: TripRecord) -> Receipt | None:
        """Resume a trip that only orders or releases; return the receipt of a release.

        Raises `UsageError` if nothing was ordered.
        """
        if record.kind == "release":
            return await self.releases.execute_release(trip, record.lease)
        if record.kind == "bind-mail":
            await self._end_interrupted_binding(trip, record.spec.provider)
        if record.kind == "start":
            await self._end_interrupted_start(trip, record.lease)
        order = await trip.find_result("order", Order)
        if order is None:
            await self.trip_tracker.end_trip(trip.id, NOTHING_ORDERED)
            raise UsageError(_("{trip} has not ordered anything; start it again").format(trip=trip.id))
        await self._authorize(trip, record.lease, order)
        await self.execute_order(trip, record.lease, order)
        return None

    async def _end_interrupted_binding(self, trip: TripContext, provider: str) -> None:
        """End the trip of an interrupted `gpurent email`, which goes on when it is typed again. Raises `UsageError`."""
        await self.trip_tracker.end_trip(trip.id, TripOutcome(OutcomeKind.FAILED, "interrupted"))
        raise UsageError(
            _("the binding of an e-mail address at {provider} was interrupted").format(provider=provider),
            hint=_("Type it again; what was paid is not paid again: gpurent email {provider} ADDRESS").format(
                provider=provider
            ),
        )

    async def _end_interrupted_start(self, trip: TripContext, lease_id: str) -> None:
        """End the trip of a start that was interrupted; its machine says how that went. Raises `UsageError`."""
        lease = await self.releases.leases.try_refresh_lease(lease_id)
        await self.trip_tracker.end_trip(trip.id, TripOutcome(OutcomeKind.FAILED, "interrupted"))
        raise UsageError(
            _("the start of {lease} was interrupted; it is {state} now").format(
                lease=lease.id, state=lease.state.title
            ),
            hint=_("If it has not started: gpurent restart {lease}").format(lease=lease.id),
        )

    async def _authorize(self, trip: TripContext, lease_id: str, order: Order) -> None:
        """Ask the user for the price of the order, unless it has already been placed."""
        if await has_ordered(trip):
            return
        price = await self._price_once(trip, order)
        limits = await self.pricer.budgets.list_limits(order.offer.provider, trip.id)
        proposal = propose_order(order, price, limits, await self.provision.leases.store.find_lease(lease_id))
        await self.authorizer.require_authorization(trip, order.offer.provider, TripLimits(), proposal)

    async def _price_once(self, trip: TripContext, order: Order) -> Funding:
        return await trip.step("quote", Funding, lambda: self.pricer.price_order(trip.id, order), quiet=True)

    async def execute_order(self, trip: TripContext, lease_id: str, order: Order) -> Lease:
        """Price the order once, then provision the lease at that price, which has been authorized."""
        price = await self._price_once(trip, order)
        agreed = AgreedPrice(ceiling=price.ceiling, deposit=price.deposit, rate=price.rate)
        lease = await self.provision.provision_lease(trip, "leg0", order, lease_id, agreed)
        if order.restarts:
            await self.restarted.move_open_trips(lease)
        return lease

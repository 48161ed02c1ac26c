"""What the user asks for: whole trips, and single orders on leases. Everything that costs money is a trip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Order, OrderKind, Unknown
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import AgreedPrice, TripRecord, TripSpec
from gpurent.errors import GpurentError, LeaseError, UsageError
from gpurent.locale import _
from gpurent.roles.lease import SupportsRenewal, SupportsRestart
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import Funding, Quotes, needed, term_of
from gpurent.workflow.reports.offers import OfferListing
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import TripContext, TripRegister
from gpurent.workflow.runtime.leases import LeaseTracker, require_running
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.provision import ProvisionStep
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.timing.timers import TimerCommands
from gpurent.workflow.trips.execute import TripExecutor, lease_id_of
from gpurent.workflow.trips.machine_work import TripEnd
from gpurent.workflow.trips.previews import ProviderSelector


@frozen
class Trips:
    """Each call holds its trip until it returns."""

    register: TripRegister
    leases: LeaseTracker
    selector: ProviderSelector
    executor: TripExecutor
    orders: LeaseOrders

    async def run(self, spec: TripSpec, *, detach: bool = False) -> TripEnd:
        """A whole trip; ``detach``: the job is left as soon as it runs."""
        return await self._execute(self.register.begin_trip("run", spec), spec, detach=detach)

    async def rent(self, spec: TripSpec) -> Lease:
        """Only a machine: the lease stays until it is released."""
        spec = evolve(spec, rent_only=True, job=evolve(spec.job, command=()))
        end = await self._execute(self.register.begin_trip("rent", spec), spec)
        return self.leases.find_lease(end.lease)

    async def resume(self, given: str = "", *, detach: bool = False) -> TripEnd:
        """Walk again: what was done is recalled, what was not is done."""
        record = self.register.find_trip(given)
        if record.outcome:
            raise UsageError(_("{trip} has ended: {outcome}").format(trip=record.id, outcome=record.outcome))
        if record.kind == "guard":
            raise UsageError(_("{trip} is the guard's").format(trip=record.id), hint="gpurent watch --once")
        trip = self.register.context_of(record.id)
        if record.kind in ("run", "rent"):
            return await self._execute(trip, record.spec, detach=detach)
        with self.register.lock_trip(record.id):
            receipt = await self.orders.carry_on(trip, record)
            self.register.end_trip(record.id)
            return TripEnd(trip=record.id, lease=record.lease, receipt=receipt)

    async def _execute(self, trip: TripContext, spec: TripSpec, *, detach: bool = False) -> TripEnd:
        with self.register.lock_trip(trip.trip):
            try:
                spec = await self.selector.select_provider(trip, spec)
                end = await self.executor.execute_trip(trip, spec, detach=detach)
            except GpurentError as error:
                lease = self.leases.store.lease(lease_id_of(trip.trip, spec))
                if lease is None and not error.retryable:
                    self.register.fail_trip(trip.trip, error)
                raise
            if not end.under_way:
                self.register.end_trip(trip.trip)
            return end


@frozen
class LeaseChanges:
    """As the user asks for them; each is one order."""

    leases: LeaseTracker
    plugins: Plugins
    listing: OfferListing
    orders: LeaseOrders
    timers: TimerCommands

    async def renew(self, given: str, term: timedelta) -> Lease:
        """More time on a prepaid lease, and as much for its timer."""
        lease = await self.leases.view_lease(given)
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRenewal):
            raise UsageError(
                _("{provider} has no renewal: it runs while its balance lasts").format(
                    provider=lease.provider
                ),
                hint=_("Top up instead: gpurent topup {provider} AMOUNT").format(provider=lease.provider),
            )
        require_running(lease)
        order = provider.extension(lease, term, "")
        renewed = await self.orders.place("renew", lease, TripSpec(provider=lease.provider), order)
        await self.timers.renewed(lease, renewed)
        return renewed

    async def upgrade(self, given: str, spec: TripSpec) -> Lease:
        """From the staged machine to the wanted one."""
        lease = await self.leases.view_lease(given)
        require_running(lease)
        # At the same provider; on the same machine, unless another was named.
        wanted = evolve(spec.requirements, machine=spec.requirements.machine or lease.offer.key)
        found = await self.listing.fitting_offers(lease.provider, wanted)
        if isinstance(found, Unknown) or not found.items:
            reason = found.reason if isinstance(found, Unknown) else _("no such GPU is free on this machine")
            raise LeaseError(reason, hint=_("Your staged machine goes on."), burning=(lease.id,))
        offer = found.items[0]
        order = Order(
            key="",
            kind=OrderKind.SWITCH,
            offer=offer,
            term=term_of(offer, spec.limits.term),
            gpus=spec.requirements.gpus,
            disk=spec.requirements.disk,
            image=spec.requirements.image,
            password_ref=lease.password_ref,
        )
        return await self.orders.place("upgrade", lease, spec, order)

    async def restart(self, given: str) -> Lease:
        """A machine that was shut, with its kept files; a new lease."""
        lease = await self.leases.view_lease(given)
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRestart) or lease.state is not LeaseState.KEPT:
            raise UsageError(_("{lease} cannot be started again").format(lease=lease.id))
        spec = TripSpec(provider=lease.provider)
        return await self.orders.place_new("restart", spec, lambda key: provider.restart(lease, key))


@frozen
class LeaseOrders:
    """Priced within the budgets, then carried out at that price."""

    register: TripRegister
    quotes: Quotes
    budgets: Budgets
    provision: ProvisionStep
    releases: Releases

    async def place(self, kind: str, lease: Lease, spec: TripSpec, order: Order) -> Lease:
        """``order`` on a lease that is there; the lease as it is then."""
        trip = self.register.begin_trip(kind, spec, lease.id)
        try:
            return await self._place(trip, lease.id, evolve(order, key=f"{trip.trip}-{kind}"))
        except GpurentError as error:
            if not error.retryable:
                self.register.fail_trip(trip.trip, error)
            raise

    async def place_new(self, kind: str, spec: TripSpec, order_of: Callable[[str], Order]) -> Lease:
        """The order that ``order_of`` makes for its key; the new lease. A trip that failed stays open."""
        trip = self.register.begin_trip(kind, spec)
        lease_id = lease_id_of(trip.trip, spec)
        trip.store.set_trip_lease(trip.trip, lease_id)
        order = evolve(order_of(f"{trip.trip}-{kind}"), password_ref=f"password-{trip.trip}")
        return await self._place(trip, lease_id, order)

    async def _place(self, trip: TripContext, lease_id: str, order: Order) -> Lease:
        with self.register.lock_trip(trip.trip):
            lease = await self.carry_out(trip, lease_id, await trip.keep("order", order))
            self.register.end_trip(trip.trip)
        return lease

    async def carry_on(self, trip: TripContext, record: TripRecord) -> Receipt | None:
        """A trip that only orders or releases, from where it was left; the receipt of a release.

        `UsageError` when it came to no order.
        """
        if record.kind == "release":
            return await self.releases.carry_out(trip, record.lease)
        order = trip.recall("order", Order)
        if order is None:
            self.register.end_trip(trip.trip, "failed: nothing ordered")
            raise UsageError(_("{trip} ordered nothing; start it again").format(trip=trip.trip))
        await self.carry_out(trip, record.lease, order)
        return None

    async def carry_out(self, trip: TripContext, lease_id: str, order: Order) -> Lease:
        """Price the order once, then provision at that price."""
        price = await trip.step("quote", Funding, lambda: self.price(trip, order), quiet=True)
        agreed = AgreedPrice(ceiling=price.ceiling, deposit=price.deposit, rate=price.rate)
        return await self.provision.provision(trip, "leg0", order, lease_id, agreed)

    async def price(self, trip: TripContext, order: Order) -> Funding:
        """What the order may cost, and what is there for it; `OverBudget` when it would break a budget."""
        provider = order.offer.provider
        quote = await self.quotes.quote(order.offer, order.term, order.gpus, order.disk)
        await self.budgets.check(provider, needed(quote), trip=trip.trip)
        return await self.quotes.look_up_funds(provider, quote)


@frozen
class Releases:
    """Each release is a trip of its own, so that it can be resumed."""

    register: TripRegister
    leases: LeaseTracker
    step: ReleaseStep
    receipts: Receipts

    async def release(self, given: str) -> Receipt:
        """Release the lease now; ends the trips that used it."""
        lease = self.leases.find_lease(given)
        trip = self.register.begin_trip("release", TripSpec(provider=lease.provider), lease.id)
        with self.register.lock_trip(trip.trip):
            receipt = await self.carry_out(trip, lease.id)
        self.register.end_trip(trip.trip)
        for record in self.register.trips(lease.id):
            if record.under_way:
                self.register.end_trip(record.id, "released")
        return receipt

    async def carry_out(self, trip: TripContext, lease_id: str) -> Receipt:
        """The work of a trip that only releases."""
        lease = await self.step.release_lease(trip, lease_id)
        return await self.receipts.of_lease(lease)

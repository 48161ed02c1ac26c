"""The user's commands: whole trips, and changes of leases. Everything that costs money is a trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Order, OrderKind
from gpurent.domain.trip import AS_BEFORE, RestartOptions, ResultsSpec, TripLimits, TripRecord, TripSpec
from gpurent.errors import (
    ConfirmationRequired,
    Declined,
    GpurentError,
    LeaseError,
    LeaseGone,
    StorageError,
    UsageError,
)
from gpurent.locale import _
from gpurent.roles.lease import SupportsDowngrade, SupportsRenewal, SupportsRestart
from gpurent.workflow.payments.quotes import order_term
from gpurent.workflow.payments.trip_spending import TripSpending
from gpurent.workflow.reports.offers import OfferListing
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, TripContext, TripTracker, require_open
from gpurent.workflow.runtime.leases import LeaseTracker, add_burning_lease, require_running
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.timing.timers import TimerCommands
from gpurent.workflow.trips.continuation import TripContinuation
from gpurent.workflow.trips.execute import TripExecutor
from gpurent.workflow.trips.finish import add_resume_hint
from gpurent.workflow.trips.foreign_release import explain_foreign_release
from gpurent.workflow.trips.lease_orders import LeaseOrders, ShowLease
from gpurent.workflow.trips.machine_stops import MachineStops
from gpurent.workflow.trips.machine_work import TripResult
from gpurent.workflow.trips.project_folders import ProjectFolders, name_results_folder
from gpurent.workflow.trips.provider_selection import ProviderSelector
from gpurent.workflow.trips.restart_kept import lease_id_of
from gpurent.workflow.trips.restart_options import change_restart, require_as_before

ShowResult = Callable[[TripResult], Awaitable[None]]


async def show_nothing(_result: object) -> None:
    """For callers that show no result, such as the guard."""


@frozen
class Trips:
    """Begins and resumes trips. Each call locks its trip until it returns.

    ``show`` shows the user the result of a trip that is over; the trip ends after it, see `TripTracker.end_shown_trip`.
    """

    trip_tracker: TripTracker
    leases: LeaseTracker
    selector: ProviderSelector
    executor: TripExecutor
    orders: LeaseOrders
    spending: TripSpending
    continuation: TripContinuation
    folders: ProjectFolders

    async def run(
        self, spec: TripSpec, *, detach: bool = False, show: ShowResult = show_nothing
    ) -> TripResult:
        """Run a whole trip; with ``detach``, return as soon as the job runs."""
        return await self._begin("run", spec, detach=detach, show=show)

    async def rent(self, spec: TripSpec, *, show: ShowResult = show_nothing) -> Lease:
        """Only rent a machine; the lease stays until it is released."""
        spec = evolve(spec, rent_only=True, job=evolve(spec.job, command=()))
        end = await self._begin("rent", spec, detach=False, show=show)
        return await self.leases.get_lease(end.lease_id)

    async def _begin(self, kind: str, spec: TripSpec, *, detach: bool, show: ShowResult) -> TripResult:
        self.executor.leg_runner.preparation.check_upload(spec)
        trip_id = self.trip_tracker.make_trip_id()
        async with self.folders.choose_folder(name_results_folder(spec, trip_id)) as chosen:
            trip = await self.trip_tracker.begin_trip(kind, chosen, trip_id=trip_id)

        async def execute() -> TripResult:
            async with self.trip_tracker.lock_trip(trip.id):
                try:
                    return await self._execute_locked(trip, chosen, detach=detach, show=show)
                except ConfirmationRequired as error:
                    # Nothing was ordered. A resumed trip stays open instead, because only its id is typed again.
                    await self.trip_tracker.fail_trip(trip.id, error)
                    raise

        return await self._go_on_after(trip.id, execute, detach=detach, show=show)

    async def _go_on_after(
        self, trip_id: str, execute: Callable[[], Awaitable[TripResult]], *, detach: bool, show: ShowResult
    ) -> TripResult:
        """Execute the trip; if it fails and a new one goes on with its work, return the result of that."""
        try:
            return await execute()
        except GpurentError:
            following = await self._find_open_continuation(trip_id)
            if following is None:
                raise
        return await self.resume(following.id, detach=detach, show=show)

    async def resume(
        self,
        trip_id: str = "",
        *,
        detach: bool = False,
        change_results: Callable[[ResultsSpec], ResultsSpec] | None = None,
        show: ShowResult = show_nothing,
    ) -> TripResult:
        """Resume a trip: execute it again, without repeating completed steps.

        ``change_results`` returns what results are wanted from now on.
        """
        record = await self.trip_tracker.get_trip(trip_id)
        if not record.is_open:
            record = await self._find_open_continuation(record.id) or record
        require_open(record)
        if record.kind == "guard":
            raise UsageError(
                _("{trip} belongs to the guard").format(trip=record.id), hint="gpurent watch --once"
            )
        trip = self.trip_tracker.context_of(record.id)
        if record.kind in ("run", "rent"):

            async def execute() -> TripResult:
                async with self.trip_tracker.lock_open_trip(trip.id) as opened:
                    spec = opened.spec
                    if change_results is not None:
                        spec = evolve(spec, results=change_results(spec.results))
                        await self.trip_tracker.store.set_trip_spec(trip.id, spec)
                    return await self._execute_locked(trip, spec, detach=detach, show=show)

            return await self._go_on_after(trip.id, execute, detach=detach, show=show)
        async with self.trip_tracker.lock_open_trip(record.id) as record:
            try:
                receipt = await self.orders.resume_trip(trip, record)
            except Declined as error:
                await self.trip_tracker.fail_trip(record.id, error)
                raise
            end = TripResult(trip_id=record.id, lease_id=record.lease, receipt=receipt)
            await self.trip_tracker.end_shown_trip(record.id, lambda: show(end))
            return end

    async def _find_open_continuation(self, trip_id: str) -> TripRecord | None:
        """Return the open trip that goes on with the work of one that has ended, however many are in between.

        None as well if the Store cannot be read: that is then the error to show, not why it was asked.
        """
        with suppress(StorageError):
            record = await self.trip_tracker.store.find_trip(trip_id)
            while record is not None and not record.is_open:
                record = await self.continuation.find_next_trip(record.id)
            return record if record is not None and record.id != trip_id else None
        return None

    async def _execute_locked(
        self, trip: TripContext, spec: TripSpec, *, detach: bool, show: ShowResult
    ) -> TripResult:
        end = await self._execute_where_possible(trip, spec, detach=detach)
        if not end.job_running:
            await self.trip_tracker.end_shown_trip(trip.id, lambda: show(end))
        return end

    async def _execute_where_possible(self, trip: TripContext, spec: TripSpec, *, detach: bool) -> TripResult:
        """Execute the trip at the first provider whose machine is not taken by others before it is ordered."""
        while True:
            try:
                spec = await self.selector.select_provider(trip, spec)
                return await self.executor.execute_trip(trip, spec, detach=detach)
            except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends by its rule
                await trip.require_lock()
                error = to_gpurent_error(raised)
                again = await self.selector.try_next_provider(trip, spec, error)
                if again is None:
                    await self._record_failure(trip, spec, error)
                    raise error from error.__cause__
                spec = again

    async def _record_failure(self, trip: TripContext, spec: TripSpec, error: GpurentError) -> None:
        """End a trip that rented nothing, unless it can be resumed; else name what costs money."""
        # A Store that fails here too is the same trouble again, and the trip stays open.
        with suppress(StorageError):
            lease = await self.leases.store.find_lease(lease_id_of(trip.id, spec))
            # A cancelled lease is what is left of an offer that somebody else took.
            if lease is None or lease.state is LeaseState.CANCELLED:
                error.spent = await self.spending.find_spending(trip.id, error)
                if not error.retryable and not await _may_go_on(trip, error):
                    await self.trip_tracker.fail_trip(trip.id, error)
            if lease is not None and isinstance(error, LeaseGone):
                await explain_foreign_release(self.trip_tracker.store, trip.id, spec, lease, error)
            await self._add_running_lease(trip, error)

    async def _add_running_lease(self, trip: TripContext, error: GpurentError) -> None:
        """Name the open trip's machine, unless ``error`` does so already."""
        record = await self.trip_tracker.store.find_trip(trip.id)
        if record is None or not record.is_open or record.lease in error.burning:
            return
        lease = await self.leases.store.find_lease(record.lease)
        if lease is not None and lease.has_cost and not lease.is_over:
            add_burning_lease(error, lease)
            add_resume_hint(error, trip.id)


async def _may_go_on(trip: TripContext, error: GpurentError) -> bool:
    """Whether the trip has to stay open: money may be out, and ``error`` says nothing about it."""
    return await trip.may_have_paid() and isinstance(error, INCONCLUSIVE_ERRORS)


@frozen
class LeaseChanges:
    """Changes to a lease that the user asks for; each is one order. ``show`` is as in `Trips`."""

    leases: LeaseTracker
    plugins: Plugins
    listing: OfferListing
    orders: LeaseOrders
    timers: TimerCommands
    stops: MachineStops

    async def renew(self, lease_id: str, term: timedelta, *, show: ShowLease = show_nothing) -> Lease:
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

        async def finish(renewed: Lease) -> None:
            await self.timers.extend_after_renewal(lease, renewed)
            await show(renewed)

        return await self.orders.place_order(
            "renew", lease, TripSpec(provider=lease.provider), order, show=finish
        )

    async def upgrade(self, lease_id: str, spec: TripSpec, *, show: ShowLease = show_nothing) -> Lease:
        """Switch from the staging machine to the wanted one."""
        lease = await self.leases.try_refresh_lease(lease_id)
        unfinished = await self.orders.find_interrupted_trip("upgrade", lease, spec)
        if unfinished is not None:
            return await self.orders.continue_order(unfinished, lease.id, show=show)
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
        return await self.orders.place_order("upgrade", lease, spec, order, show=show)

    async def downgrade(
        self, lease_id: str, term: timedelta | None, *, show: ShowLease = show_nothing
    ) -> Lease:
        """Switch a machine back to its staging machine, with its files; its jobs end, which the user is asked about."""
        lease = await self.leases.try_refresh_lease(lease_id)
        spec = TripSpec(provider=lease.provider, limits=TripLimits(term=term))
        unfinished = await self.orders.find_interrupted_trip("downgrade", lease, spec)
        if unfinished is not None:
            return await self.orders.continue_order(unfinished, lease.id, show=show)
        require_running(lease)
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsDowngrade) or not lease.offer.hardware.gpus:
            raise UsageError(
                _("{lease} has no CPU machine to switch to").format(lease=lease.id),
                hint=_("Release it: gpurent release {lease}").format(lease=lease.id),
            )
        order = provider.make_downgrade_order(lease, "")
        if term is not None:
            order = evolve(order, term=order_term(order.offer, term))
        await self.stops.confirm_downgrade(lease)
        return await self.orders.place_order("downgrade", lease, spec, order, show=show)

    async def restart(
        self,
        lease_id: str,
        options: RestartOptions = AS_BEFORE,
        *,
        show: ShowLease = show_nothing,
    ) -> Lease:
        """Restart a stopped machine with its kept files; typed again, it continues.

        One that is still rented keeps its lease, any other gets a new one. Raises `LeaseError` if it runs as another
        lease already.
        """
        lease = await self.leases.try_refresh_lease(lease_id)
        continued = await self.orders.continue_restart(lease, show=show)
        if continued is not None:
            return continued
        if lease.state is LeaseState.STOPPED and self.stops.starter.can_start(lease):
            require_as_before(lease, options)
            return await self.stops.start_machine(lease, show=show)
        if lease.is_over:
            await self.orders.restarted.require_not_restarted(lease)
        provider = self.plugins.provider_of(lease)
        if not isinstance(provider, SupportsRestart) or lease.state is not LeaseState.KEPT:
            raise UsageError(_("{lease} cannot be restarted").format(lease=lease.id))
        order = change_restart(provider, lease, provider.make_restart_order(lease, ""), options)
        return await self.orders.place_new_order(
            "restart",
            TripSpec(provider=lease.provider),
            lambda key: evolve(order, key=key, restarts=lease.id),
            show=show,
        )

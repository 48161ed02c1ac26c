"""Trips that the user begins and resumes. Everything that costs money is a trip."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.outcomes import format_outcome
from gpurent.domain.trip import ResultsSpec, TripSpec
from gpurent.errors import ConfirmationRequired, Declined, GpurentError, LeaseGone, UsageError
from gpurent.locale import _
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, TripContext, TripTracker
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.trips.execute import TripExecutor
from gpurent.workflow.trips.foreign_release import explain_foreign_release
from gpurent.workflow.trips.lease_orders import LeaseOrders
from gpurent.workflow.trips.machine_work import TripResult
from gpurent.workflow.trips.previews import ProviderSelector
from gpurent.workflow.trips.restart_kept import lease_id_of


@frozen
class Trips:
    """Begins and resumes trips. Each call locks its trip until it returns."""

    trip_tracker: TripTracker
    leases: LeaseTracker
    selector: ProviderSelector
    executor: TripExecutor
    orders: LeaseOrders

    async def run(self, spec: TripSpec, *, detach: bool = False) -> TripResult:
        """Run a whole trip; with ``detach``, return as soon as the job runs."""
        return await self._begin("run", spec, detach=detach)

    async def rent(self, spec: TripSpec) -> Lease:
        """Only rent a machine; the lease stays until it is released."""
        spec = evolve(spec, rent_only=True, job=evolve(spec.job, command=()))
        end = await self._begin("rent", spec)
        return self.leases.get_lease(end.lease_id)

    async def _begin(self, kind: str, spec: TripSpec, *, detach: bool = False) -> TripResult:
        self.executor.leg_runner.preparation.check_upload(spec)
        trip = self.trip_tracker.begin_trip(kind, spec)
        try:
            return await self._execute(trip, spec, detach=detach)
        except ConfirmationRequired as error:
            # Nothing was ordered. A resumed trip stays open instead, because only its id is typed again.
            self.trip_tracker.fail_trip(trip.id, error)
            raise

    async def resume(
        self,
        trip_id: str = "",
        *,
        detach: bool = False,
        change_results: Callable[[ResultsSpec], ResultsSpec] | None = None,
    ) -> TripResult:
        """Resume a trip: execute it again, without repeating completed steps.

        ``change_results`` returns what results are wanted from now on.
        """
        record = self.trip_tracker.get_trip(trip_id)
        if record.outcome:
            raise UsageError(
                _("{trip} has ended: {outcome}").format(
                    trip=record.id, outcome=format_outcome(record.outcome)
                )
            )
        if record.kind == "guard":
            raise UsageError(
                _("{trip} belongs to the guard").format(trip=record.id), hint="gpurent watch --once"
            )
        trip = self.trip_tracker.context_of(record.id)
        if record.kind in ("run", "rent"):
            spec = record.spec
            if change_results is not None:
                spec = evolve(spec, results=change_results(spec.results))
                self.trip_tracker.store.set_trip_spec(record.id, spec)
            return await self._execute(trip, spec, detach=detach)
        with self.trip_tracker.lock_trip(record.id):
            try:
                receipt = await self.orders.resume_trip(trip, record)
            except Declined as error:
                self.trip_tracker.fail_trip(record.id, error)
                raise
            self.trip_tracker.end_trip(record.id)
            return TripResult(trip_id=record.id, lease_id=record.lease, receipt=receipt)

    async def _execute(self, trip: TripContext, spec: TripSpec, *, detach: bool = False) -> TripResult:
        with self.trip_tracker.lock_trip(trip.id):
            try:
                spec = await self.selector.select_provider(trip, spec)
                end = await self.executor.execute_trip(trip, spec, detach=detach)
            except GpurentError as error:
                lease = self.leases.store.find_lease(lease_id_of(trip.id, spec))
                # A cancelled lease is what is left of an offer that somebody else took.
                is_nothing_rented = lease is None or lease.state is LeaseState.CANCELLED
                if is_nothing_rented and not error.retryable and not _may_go_on(trip, error):
                    self.trip_tracker.fail_trip(trip.id, error)
                if lease is not None and isinstance(error, LeaseGone):
                    explain_foreign_release(self.trip_tracker.store, trip.id, spec, lease, error)
                raise
            if not end.job_running:
                self.trip_tracker.end_trip(trip.id)
            return end


def _may_go_on(trip: TripContext, error: GpurentError) -> bool:
    """Whether the trip has to stay open: money may be out, and ``error`` says nothing about it."""
    return trip.may_have_paid() and isinstance(error, INCONCLUSIVE_ERRORS)

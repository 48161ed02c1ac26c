"""The execution of a whole trip, and its end. Resuming means executing it again with its recorded steps."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import OnError, TripSpec
from gpurent.errors import GpurentError, MoneyError, SoldOut, Spent
from gpurent.locale import _, join_list
from gpurent.ports.store import Store
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.manual.rental import ManualRental
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, RESUMABLE_ERRORS, TripContext
from gpurent.workflow.runtime.leases import add_burning_lease
from gpurent.workflow.steps.download import DownloadStep
from gpurent.workflow.steps.provision import ProvisionStep
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.trips.machine_work import LegRunner, LegSpec, TripResult
from gpurent.workflow.trips.plan_legs import TripPlanner


@frozen
class TripExecutor:
    """Plans, runs each leg, and finishes; on a machine that the user provides, only runs the job."""

    planner: TripPlanner
    provision: ProvisionStep
    manual_rental: ManualRental
    leg_runner: LegRunner
    finalizer: TripFinalizer

    async def execute_trip(self, trip: TripContext, spec: TripSpec, *, detach: bool = False) -> TripResult:
        """Execute the trip; ``spec`` names its provider. Completed steps are not run again."""
        # Reject an invalid doctor policy now, before a machine is paid for.
        self.leg_runner.doctor.get_policy(spec.doctor)
        while True:
            stays = self._plan_own_machine(spec) or await self.planner.plan_legs(trip, spec)
            lease_id = lease_id_of(trip.id, spec)
            trip.store.set_trip_lease(trip.id, lease_id)
            try:
                end = await self._run_legs(trip, spec, lease_id, stays, detach=detach)
                return await self.finalizer.finish_trip(trip, spec, end)
            except GpurentError as error:
                if self._try_next_offer(trip, spec, stays, error):
                    continue
                await self.finalizer.clean_up_failed_trip(trip, spec, lease_id, error)
                trip.emit(EventKind.FAILED, error.message, lease=lease_id, burning=len(error.burning))
                raise

    def _try_next_offer(
        self, trip: TripContext, spec: TripSpec, legs: Sequence[LegSpec], error: GpurentError
    ) -> bool:
        """Whether the first order was lost before anything was created, so that another offer will do."""
        order = legs[0].order
        is_first = trip.find_result("leg0.confirm", str) is None
        if not isinstance(error, SoldOut) or order is None or not is_first or spec.requirements.machine:
            return False
        trip.discard_attempt("select-offer", order.offer.key, keep="authorize")
        trip.emit(
            EventKind.WARNING,
            _("{machine}: {why}; trying the next offer").format(machine=order.offer.key, why=error.message),
        )
        return True

    def _plan_own_machine(self, spec: TripSpec) -> tuple[LegSpec, ...]:
        """Return the single leg on a machine that the user provides; empty if one has to be rented."""
        if not spec.lease and not self.manual_rental.instructions.is_manual(spec.provider):
            return ()
        wanted = not spec.rent_only
        return (LegSpec(upload=wanted, job=wanted, budget=spec.limits.budget),)

    async def _run_legs(
        self, trip: TripContext, spec: TripSpec, lease_id: str, legs: Sequence[LegSpec], *, detach: bool
    ) -> TripResult:
        end = TripResult(trip_id=trip.id, lease_id=lease_id)
        for number, stay in enumerate(legs):
            leg = f"leg{number}"
            if stay.order is not None:
                await self.provision.provision_lease(trip, leg, stay.order, lease_id, stay.agreed)
            elif not spec.lease:
                await self.manual_rental.rent_manually(trip, spec, lease_id)
            end = await self.leg_runner.run_leg(trip, leg, spec, lease_id, stay, detach=detach)
        return end


def lease_id_of(trip_id: str, spec: TripSpec) -> str:
    """Return the id of the trip's lease, which is known before the lease exists."""
    return spec.lease or f"{spec.provider}-{trip_id.rpartition('-')[2]}"


@frozen
class TripFinalizer:
    """Releases the machine at the end of a trip, unless its job is still running or the user keeps it."""

    store: Store
    final_download: FinalDownload
    release: ReleaseStep
    receipts: Receipts

    async def finish_trip(self, trip: TripContext, spec: TripSpec, end: TripResult) -> TripResult:
        """Release the machine if required; return ``end`` with its receipt."""
        if end.job_running or spec.rent_only or spec.limits.keep:
            return end
        lease = await self.release.release_lease(trip, end.lease_id)
        receipt = await trip.step("receipt", Receipt, lambda: self.receipts.get_lease_receipt(lease, trip.id))
        return evolve(end, receipt=receipt)

    async def clean_up_failed_trip(
        self, trip: TripContext, spec: TripSpec, lease_id: str, error: GpurentError
    ) -> None:
        """End a trip that failed with ``error``, unless it can be resumed.

        ``error`` is extended to say what was spent and what still costs money.
        """
        lease = self.store.find_lease(lease_id)
        is_rented = lease is not None and not lease.is_over
        if isinstance(error, INCONCLUSIVE_ERRORS if is_rented else RESUMABLE_ERRORS):
            if lease is not None and is_rented and (lease.bills or lease.started_at):
                add_burning_lease(error, lease_id)
                add_resume_hint(error, trip.id)
            return
        if lease is None and trip.may_have_paid() and isinstance(error, INCONCLUSIVE_ERRORS):
            # Money may be out, and the answer says nothing about it.
            error.spent = Spent.UNKNOWN
            add_resume_hint(error, trip.id)
            return
        if lease is not None and not await self._release_or_keep(trip, spec, lease, error):
            return
        self.store.end_trip(trip.id, f"failed: {error.code}")

    async def _release_or_keep(
        self, trip: TripContext, spec: TripSpec, lease: Lease, error: GpurentError
    ) -> bool:
        """Release or keep the machine; return whether the trip is done with it."""
        if spec.limits.on_error is OnError.KEEP and lease.state is LeaseState.READY:
            add_burning_lease(error, lease.id)
            return True
        await self.final_download.download_results(
            trip, spec, lease.id, stop_job=isinstance(error, MoneyError)
        )
        try:
            released = await self.release.release_lease(trip, lease.id)
            receipt = await self.receipts.get_lease_receipt(released)
        except GpurentError as worse:
            add_burning_lease(error, lease.id)
            _add_hint(error, worse.message)
            return False
        _add_cost(error, receipt)
        return True


def _add_cost(error: GpurentError, receipt: Receipt) -> None:
    error.burning = tuple(name for name in error.burning if name != receipt.lease)
    spent = [total.spent for total in receipt.totals() if total.spent.amount]
    error.spent = Spent.YES if spent else Spent.NO
    if spent:
        amounts = join_list(str(money) for money in spent)
        _add_hint(error, _("The machine was released; it cost {amounts}.").format(amounts=amounts))


def add_resume_hint(error: GpurentError, trip_id: str) -> None:
    _add_hint(error, _("Continue with: gpurent resume {trip}").format(trip=trip_id))


def _add_hint(error: GpurentError, text: str) -> None:
    error.hint = f"{error.hint}\n{text}".strip()


@frozen
class FinalDownload:
    """Downloads existing results before the machine is released, best effort."""

    connections: Connections
    runners: JobRunners
    download: DownloadStep

    async def download_results(
        self, trip: TripContext, spec: TripSpec, lease_id: str, *, stop_job: bool
    ) -> None:
        """Download the results, after stopping the job if ``stop_job``. A failure is only a warning."""
        launched = [
            name
            for name, record in trip.steps_by_name().items()
            if name.endswith(".launch") and record.done_at
        ]
        if not launched or not spec.results.paths:
            return
        async with self.connections.make_connection(lease_id, trip.id) as connection:
            if connection.lease.state is not LeaseState.READY:
                return
            try:
                if stop_job:
                    name = spec.job.name or trip.id
                    await self.runners.run_with_retry(
                        connection, spec.job.session, lambda runner: runner.stop_job(name)
                    )
                await self.download.download_results(trip, launched[-1].partition(".")[0], connection, spec)
            except GpurentError as error:
                connection.emit(
                    EventKind.WARNING,
                    _("the results could not be downloaded: {why}").format(why=error.message),
                )

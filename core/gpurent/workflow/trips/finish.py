"""The end of a trip: its results, its machine, its receipt; by the table of `gpurent.domain.trip_end`."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.outcomes import TripOutcome
from gpurent.domain.receipt import Receipt
from gpurent.domain.time_left import MachineTimer
from gpurent.domain.transfer import sum_reports
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_end import JobEnd, MachineFate, ResultsState, TripEnd, TripEndFacts, decide_trip_end
from gpurent.errors import (
    BudgetExceeded,
    ConfirmationRequired,
    GpurentError,
    JobError,
    ResultsMissing,
    Spent,
    StartFailed,
    StorageError,
)
from gpurent.locale import _, join_list
from gpurent.ports.store import Store
from gpurent.roles.transfer_errors import summarize_texts
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.connection.results_download import ResultsOutcome
from gpurent.workflow.payments.trip_spending import TripSpending
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import INCONCLUSIVE_ERRORS, RESUMABLE_ERRORS, TripContext
from gpurent.workflow.runtime.leases import add_burning_lease
from gpurent.workflow.runtime.trip_chain import list_earlier_trips
from gpurent.workflow.runtime.unforeseen import add_hint, to_gpurent_error
from gpurent.workflow.steps.download import DownloadStep, describe_outcome
from gpurent.workflow.steps.keep_results import KeepResultsStep, describe_ways_home, find_kept_results
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.timing.timers import format_timer
from gpurent.workflow.trips.continuation import TripContinuation
from gpurent.workflow.trips.failures import record_failure
from gpurent.workflow.trips.machine_use import MachineUse, MachineUseFinder
from gpurent.workflow.trips.machine_work import TripResult
from gpurent.workflow.trips.restart_kept import KeptRestart, lease_id_of, list_earlier_leases


def get_results_state(spec: TripSpec, job: JobEnd, outcome: ResultsOutcome) -> ResultsState:
    """A job that failed to start made nothing: what does not exist is then not missing."""
    if not spec.results.are_wanted:
        return ResultsState.UNWANTED
    if job is JobEnd.NOT_STARTED:
        return ResultsState.COMPLETE
    counted = outcome.without_unmade() if job is JobEnd.FAILED_TO_START else outcome
    return ResultsState.MISSING if counted.missing else ResultsState.COMPLETE


async def get_job_end(trip: TripContext, error: GpurentError) -> JobEnd:
    """Return how the job of a trip that failed with ``error`` ended."""
    launches = [record for name, record in (await trip.steps_by_name()).items() if name.endswith(".launch")]
    if not launches:
        return JobEnd.NOT_STARTED
    if launches[-1].done_at is None:
        return JobEnd.FAILED_TO_START if isinstance(error, JobError) else JobEnd.NOT_STARTED
    return JobEnd.LOST


@frozen
class TripFinalizer:
    """Decides what happens to the machine at the end of a trip, and does it."""

    store: Store
    uses: MachineUseFinder
    final_download: FinalDownload
    keeper: KeepResultsStep
    kept_restart: KeptRestart
    release: ReleaseStep
    receipts: Receipts
    spending: TripSpending
    continuation: TripContinuation

    async def finish_trip(self, trip: TripContext, spec: TripSpec, end: TripResult) -> TripResult:
        """End a trip whose job has ended; return ``end`` with its receipt.

        Raises `ResultsMissing` if the results are not complete; the trip then stays open.
        """
        if end.job_running or spec.rent_only:
            return end
        outcome = end.results or ResultsOutcome(report=sum_reports(()))
        job = JobEnd.FAILED if end.exit_code else JobEnd.SUCCEEDED
        use = await self.uses.find_use(trip, spec, end.lease_id)
        decided = await self._decide(trip, spec, end.lease_id, job, outcome, None, use)
        if outcome.missing and not decided.is_open:
            error = self._make_missing_error(outcome, end.exit_code)
            await self._release(trip, spec, end.lease_id, error)
            await self.store.end_trip(trip.id, TripOutcome.from_error(error))
            raise error
        if use.others and decided.machine is not MachineFate.RELEASE:
            await self._explain_use(trip, end.lease_id, use)
        if decided.is_open:
            error = self._make_missing_error(outcome, end.exit_code)
            await self._keep(trip, spec, end.lease_id, decided, error)
            raise error
        if decided.machine is MachineFate.KEEP:
            return end
        lease = await self.release.release_lease(trip, end.lease_id)
        receipt = await trip.step("receipt", Receipt, lambda: self._get_receipt(trip, spec, lease))
        return evolve(end, receipt=receipt)

    async def _get_receipt(self, trip: TripContext, spec: TripSpec, lease: Lease) -> Receipt:
        earlier = await list_earlier_leases(trip, lease_id_of(trip.id, spec))
        before = await list_earlier_trips(self.store, trip.id)
        earlier = (*(item.lease for item in before if item.lease), *earlier)
        return await self.receipts.get_trip_end_receipt(lease, earlier, trip.id)

    async def clean_up_failed_trip(
        self, trip: TripContext, spec: TripSpec, lease_id: str, error: GpurentError
    ) -> None:
        """End a trip that failed with ``error``, unless it can be resumed.

        ``error`` is extended to say what was spent and what still costs money.
        """
        if isinstance(error, ResultsMissing):
            return  # the machine is taken care of
        try:
            if not await self._is_resumable(trip, lease_id, error):
                await self._end_unless_used(trip, spec, lease_id, error)
        except Exception as worse:  # noqa: BLE001 - the trip stays open, and the first error is what the user needs
            add_hint(error, to_gpurent_error(worse).message)
            add_resume_hint(error, trip.id)

    async def _is_resumable(self, trip: TripContext, lease_id: str, error: GpurentError) -> bool:
        """Whether the trip stays open; ``error`` then says how to go on. In any case it says what was spent."""
        lease = await self.store.find_lease(lease_id)
        error.spent = await self.spending.find_spending(trip.id, error, lease)
        is_rented = lease is not None and not lease.is_over
        # Where money may be out, an answer that says nothing about it ends nothing either.
        may_go_on = is_rented or (lease is None and await trip.may_have_paid())
        if not isinstance(error, INCONCLUSIVE_ERRORS if may_go_on else RESUMABLE_ERRORS):
            return False
        if lease is not None and is_rented and lease.has_cost:
            add_burning_lease(error, lease)
        if not isinstance(error, ConfirmationRequired):  # its own hint is the command with the yes
            add_resume_hint(error, trip.id)
        return True

    async def _end_unless_used(
        self, trip: TripContext, spec: TripSpec, lease_id: str, error: GpurentError
    ) -> None:
        """End the failed trip, once its machine is taken care of.

        While the trip's job may run, only a budget ends it; and no other failure ends a machine that was adopted.
        """
        lease = await self.store.find_lease(lease_id)
        if lease is not None:
            use = await self.uses.find_use(trip, spec, lease_id)
            is_adopted = lease.adopted_at is not None and not lease.is_over
            if (use.own_job or is_adopted) and not isinstance(error, BudgetExceeded):
                use.explain_open_trip(error, lease)
                add_resume_hint(error, trip.id)
                return
            await record_failure(trip, error)
            if isinstance(error, StartFailed):
                await self._remember_failed_start(trip, lease)
            if not await self._end_machine(trip, spec, lease, error, use):
                return
            await self.continuation.begin_next_trip(trip, spec, error)
        await self.store.end_trip(trip.id, TripOutcome.from_error(error))

    async def _remember_failed_start(self, trip: TripContext, lease: Lease) -> None:
        """Note with the lease that its machine did not start, so that none is ordered there for a while."""
        now = self.release.leases.get_time(lease)
        if lease.start_failed_at is None and await trip.step_done_at("leg0.connect") is None:
            await self.release.leases.update_lease(lease.id, lambda known: evolve(known, start_failed_at=now))

    async def _end_machine(
        self, trip: TripContext, spec: TripSpec, lease: Lease, error: GpurentError, use: MachineUse
    ) -> bool:
        """Download the results, then release or keep the machine; return whether the trip is done with it."""
        job = await get_job_end(trip, error)
        outcome = ResultsOutcome(report=sum_reports(()))
        if job is not JobEnd.NOT_STARTED:
            outcome = await self.final_download.download_results(
                trip, spec, lease.id, stop_job=isinstance(error, BudgetExceeded)
            )
        decided = await self._decide(trip, spec, lease.id, job, outcome, error, use)
        if use.others and decided.machine is not MachineFate.RELEASE:
            await self._explain_use(trip, lease.id, use)
        if decided.is_open:
            add_hint(error, _missing_text(outcome))
            await self._keep(trip, spec, lease.id, decided, error)
            return False
        if decided.machine is MachineFate.KEEP and lease.state is LeaseState.READY:
            add_burning_lease(error, lease)
            return True
        return await self._release(trip, spec, lease.id, error)

    async def _decide(
        self,
        trip: TripContext,
        spec: TripSpec,
        lease_id: str,
        job: JobEnd,
        outcome: ResultsOutcome,
        error: GpurentError | None,
        use: MachineUse,
    ) -> TripEnd:
        lease = await self.store.find_lease(lease_id)
        results = get_results_state(spec, job, outcome)
        # A machine that has ended for good keeps nothing, and a grace period that is over is a limit too.
        is_gone = lease is None or (
            lease.is_over and not (lease.state is LeaseState.KEPT and self.kept_restart.can_restart(lease))
        )
        is_late = (
            lease is not None
            and lease.state is LeaseState.READY
            and not use.others
            and results is ResultsState.MISSING
            and not await self.keeper.has_time_left(trip, spec, lease)
        )
        return decide_trip_end(
            TripEndFacts(
                job=job,
                results=results,
                limit_reached=isinstance(error, BudgetExceeded) or is_late or is_gone,
                in_use=bool(use.others),
                keep=spec.limits.keep,
                on_error=spec.limits.on_error,
            )
        )

    async def _explain_use(self, trip: TripContext, lease_id: str, use: MachineUse) -> None:
        """Say for whom the machine keeps running, and when its timer shuts it down all the same."""
        trip.emit(EventKind.WARNING, use.describe_others(lease_id), lease=lease_id)
        until = await self.keeper.timers.find_deadline(await self.release.leases.get_lease(lease_id))
        if until is not None:
            trip.emit(EventKind.TIMER, format_timer(MachineTimer(until=until)), lease=lease_id)

    async def _keep(
        self, trip: TripContext, spec: TripSpec, lease_id: str, decided: TripEnd, error: GpurentError
    ) -> None:
        """Keep the machine, and add to ``error`` where the results are and what to type."""
        if decided.machine is MachineFate.KEEP_RESULTS:
            lease = await self.keeper.keep_results(trip, spec, lease_id)
        else:
            lease = await self.release.leases.get_lease(lease_id)
        kept = await find_kept_results(trip.store, trip.id, lease_id)
        error.burning = tuple(name for name in error.burning if name != lease_id)
        add_burning_lease(error, lease)
        can_restart = self.kept_restart.can_restart(lease)
        add_hint(error, describe_ways_home(trip.id, spec.upload, lease, kept, can_restart=can_restart))

    async def _release(self, trip: TripContext, spec: TripSpec, lease_id: str, error: GpurentError) -> bool:
        """Release the machine; on failure, the trip is not done with it."""
        try:
            released = await self.release.release_lease(trip, lease_id)
            receipt = await self._get_receipt(trip, spec, released)
        except GpurentError as worse:
            add_burning_lease(error, await self.release.leases.get_lease(lease_id))
            add_hint(error, worse.message)
            add_resume_hint(error, trip.id)
            return False
        _add_cost(error, receipt, had_cost=released.has_cost)
        return True

    def _make_missing_error(self, outcome: ResultsOutcome, exit_code: int | None) -> ResultsMissing:
        text = _("the job ended with exit code {code}, but its results are not complete").format(
            code=exit_code
        )
        return ResultsMissing(text, hint=_missing_text(outcome))


def _missing_text(outcome: ResultsOutcome) -> str:
    return _("Missing: {what}").format(what=summarize_texts(outcome.missing))


def _add_cost(error: GpurentError, receipt: Receipt, *, had_cost: bool) -> None:
    """Let ``error`` say what the released machine cost. ``had_cost``: it was charged for, as far as its lease shows."""
    error.burning = tuple(name for name in error.burning if name != receipt.lease)
    spent = [total.spent for total in receipt.totals() if total.spent.amount]
    # Without any charge, the account may only not show them yet.
    is_known = receipt.charges and not receipt.note
    error.spent = Spent.YES if spent else Spent.NO if is_known or not had_cost else Spent.UNKNOWN
    if spent:
        amounts = join_list(str(money) for money in spent)
        add_hint(error, _("The machine was released; it cost {amounts}.").format(amounts=amounts))


def add_resume_hint(error: GpurentError, trip_id: str) -> None:
    """Add how to go on with the trip, unless nothing will know it any more."""
    if isinstance(error, StorageError) and error.is_gone:
        return
    add_hint(error, _("Continue with: gpurent resume {trip}").format(trip=trip_id))


@frozen
class FinalDownload:
    """Downloads what a failed trip's machine holds, before its end. Nothing is recorded as done."""

    connections: Connections
    runners: JobRunners
    download: DownloadStep

    async def download_results(
        self, trip: TripContext, spec: TripSpec, lease_id: str, *, stop_job: bool
    ) -> ResultsOutcome:
        """Download the results, after stopping the job if ``stop_job``; whatever prevents it is in the outcome."""
        if not spec.results.are_wanted:
            return ResultsOutcome(report=sum_reports(()))
        async with self.connections.make_connection(lease_id, trip.id) as connection:
            if stop_job and (await connection.get_lease()).state is LeaseState.READY:
                name = spec.job.name or trip.id
                try:
                    await self.runners.run_with_retry(
                        connection, spec.job.session, lambda runner: runner.stop_job(name)
                    )
                except GpurentError as error:
                    connection.emit(EventKind.WARNING, error.message)
            outcome = await self.download.try_download(connection, spec, trip.id)
        for line in describe_outcome(outcome):
            trip.emit(EventKind.WARNING, line, lease=lease_id)
        return outcome

"""Saving results before a machine ends, and ending a lease: stop the job, save the results, release the machine."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.guard_actions import ActionKind, GuardAction
from gpurent.domain.lease import Lease
from gpurent.domain.outcomes import OutcomeKind, TripOutcome
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import BusyError, GpurentError, ResultsMissing, UnavailableError
from gpurent.locale import _, ngettext
from gpurent.ports.system import Clock
from gpurent.roles.transfer_errors import summarize_texts
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.connection.results_download import ResultsDownloader
from gpurent.workflow.guard.decide import EndLease, EndReason
from gpurent.workflow.guard.facts import LeaseFacts
from gpurent.workflow.guard.observe_lease import GuardedTrip, StoreObserver
from gpurent.workflow.guard.saved_state import ActionLog, GuardMemories, is_action
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.waiting import wait_for_first
from gpurent.workflow.steps.download import describe_outcome
from gpurent.workflow.steps.keep_results import KeepResultsStep
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.trips.machine_use import MachineUseFinder

T = TypeVar("T")
# How long a save may take if its deadline had already passed when it began: late is better than never.
LATE_GRACE = timedelta(minutes=30)


async def run_with_deadline(clock: Clock, deadline: datetime, work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``, and cancel it if it is not done by ``deadline``.

    Raises `UnavailableError` if it was cancelled. If ``deadline`` has already passed, ``work`` gets `LATE_GRACE`.
    """
    rest = deadline - clock.now()
    waiting = clock.sleep(rest if rest > timedelta() else LATE_GRACE)
    working, _waited = await wait_for_first(work, waiting)
    if working.cancelled():
        raise UnavailableError(_("it did not finish in time"), retryable=True)
    result: T = working.result()
    return result


@frozen
class ResultSaver:
    """Downloads the existing results of a trip, and says what was left out."""

    connections: Connections
    runners: JobRunners
    downloader: ResultsDownloader
    memories: GuardMemories

    async def save_results(
        self, trip: TripContext, lease: str, guarded: GuardedTrip, begun: datetime, *, stop_job: bool = False
    ) -> str:
        """Download the results, after stopping the job if ``stop_job``; return the number of files as text.

        Raises `ResultsMissing` if something could not be downloaded. Of a job that is still running, named results that
        do not exist yet, or that it has not changed yet, are not missing.
        """
        spec = guarded.spec
        async with self.connections.make_connection(lease, trip.id) as connection:
            if stop_job and guarded.launched:
                session = spec.job.session
                await self.runners.run_with_retry(
                    connection, session, lambda runner: runner.stop_job(guarded.job_name)
                )
            outcome = await self.downloader.download_results(connection, spec, guarded.id)
        if not stop_job:
            outcome = outcome.without_unmade()
        for line in describe_outcome(outcome):
            trip.emit(EventKind.WARNING, line, lease=lease)
        if outcome.missing:
            raise ResultsMissing(
                _("Missing: {what}").format(what=summarize_texts(outcome.missing)),
                hint=_("Download them: gpurent resume {trip}").format(trip=guarded.id),
            )
        report = outcome.report
        await self.memories.record_results_saved(lease, begun)
        if outcome.saved is not None:
            await trip.record_result("results.results", outcome.saved)
        await trip.record_result("results.download", outcome.report)
        if not report.files:
            return "nothing"
        text = ngettext(
            "results downloaded: {files} file", "results downloaded: {files} files", report.files
        ).format(files=report.files)
        trip.emit(EventKind.RESULTS_SAVED, text, lease=lease, files=report.files, size=report.total)
        return f"{report.files} files"


@frozen
class SaveActions:
    """Saves results while the job keeps running. Each save is a trip of its own."""

    log: ActionLog
    store_observer: StoreObserver
    saver: ResultSaver

    async def begin_save(self, lease: Lease) -> TripRecord | None:
        """Begin a save; None if one is already open, which is left to continue."""
        if any(record.is_open for record in await self.log.list_lease_actions(lease.id, ActionKind.SAVE)):
            return None
        action = GuardAction(kind=ActionKind.SAVE, at=self.log.clock.now())
        return await self.log.begin_action(action, TripSpec(provider=lease.provider), lease.id)

    async def resume_save(self, trip: TripContext, record: TripRecord) -> None:
        guarded = await self.store_observer.find_trip(record.lease)
        try:
            if guarded is not None:
                begun = self.log.clock_of(record.spec.provider).now()
                await trip.step(
                    "save-results", str, lambda: self.saver.save_results(trip, record.lease, guarded, begun)
                )
        except GpurentError as error:
            if not error.retryable:
                await self.log.fail_trip(trip.id, error)
            raise
        await self.log.end_trip(trip.id)

    async def save_before_release(
        self, trip: TripContext, lease: Lease, guarded: GuardedTrip, by: datetime | None
    ) -> str:
        """Stop the job and save its results. With ``by``, a failure is only a warning; without it, it is raised."""
        clock = self.log.clock_of(lease.provider)
        work = self.saver.save_results(trip, lease.id, guarded, clock.now(), stop_job=True)
        if by is None:
            return await work
        try:
            return await run_with_deadline(clock, by, work)
        except GpurentError as error:
            text = _("the results could not be downloaded: {why}").format(why=error.message)
            trip.emit(EventKind.WARNING, text, lease=lease.id)
            return f"failed: {error.code}"


@frozen
class LeaseEndings:
    """Ends leases. Each end is a trip of its own."""

    log: ActionLog
    store_observer: StoreObserver
    saves: SaveActions
    keeper: KeepResultsStep
    uses: MachineUseFinder
    release: ReleaseStep
    receipts: Receipts

    async def begin_ending(self, lease: Lease, action: EndLease) -> TripRecord:
        """Return the trip that ends the lease for this reason; its time limit is recorded with it."""
        ending = GuardAction(kind=ActionKind(action.reason.value))
        record = await self.log.begin_action(ending, TripSpec(provider=lease.provider), lease.id)
        if action.by is not None:
            async with self.log.lock_trip(record.id):
                await self.log.store.begin_step(record.id, "deadline")
                await self.log.store.record_step(record.id, "deadline", action.by)
        return record

    async def postpone_if_used(self, facts: LeaseFacts) -> bool:
        """Postpone the end of the time for a trip's results if others use its machine; return whether that was done."""
        lease, trip = facts.lease, self.log.context_of(facts.trip_id)
        async with self.log.lock_trip(trip.id):
            record = await self.log.store.find_trip(trip.id)
            if record is None:
                return False
            use = await self.uses.find_use(trip, record.spec, lease.id)
            if not use.others or not await self.keeper.postpone_end(trip, record.spec, lease):
                return False
        trip.emit(EventKind.WARNING, use.describe_others(lease.id), lease=lease.id)
        return True

    async def cancel_if_outdated(self, record: TripRecord) -> bool:
        """Cancel an interrupted end for idleness that had not begun to save, because the lease may be in use again."""
        steps = {step.name for step in await self.log.store.list_steps(record.id)}
        if not is_action(record, ActionKind.IDLE) or steps & {"save-results", "release"}:
            return False
        await self.log.end_trip(record.id, TripOutcome(OutcomeKind.FAILED, "interrupted"))
        return True

    async def resume_ending(self, trip: TripContext, record: TripRecord) -> None:
        """Save the results, release the machine, end the lease's other trips, and finally make the receipt."""
        if record.action is None:
            raise LookupError(f"{record.id} is no action of the guard")
        reason = EndReason(record.action.kind.value)
        guarded = await self.store_observer.find_trip(record.lease)
        async with AsyncExitStack() as stack:
            if guarded is not None:
                # Keeps others from resuming the trip. If a live run holds it, the limit is enforced regardless.
                with suppress(BusyError):
                    await stack.enter_async_context(self.log.lock_trip(guarded.id))
                await self._save_results(trip, record.lease, guarded, reason)
            lease = await self.release.release_lease(trip, record.lease)
            for other in await self.log.store.list_trips(record.lease):
                if other.is_open and other.id != record.id:
                    await self.log.end_trip(other.id, TripOutcome(OutcomeKind.STOPPED, reason.value))
        try:
            await self.receipts.get_lease_receipt(lease)
        except GpurentError as error:
            # The provider's statement may be late; the machine is released either way.
            trip.emit(EventKind.WARNING, error.message, lease=lease.id)
        await self.log.end_trip(trip.id)

    async def _save_results(
        self, trip: TripContext, lease_id: str, guarded: GuardedTrip, reason: EndReason
    ) -> None:
        """Save the results. If that fails for an idle lease, abort the release, so that the lease is checked again.

        If results of an idle lease are missing, its files are kept for them, as at the end of any trip.
        """
        lease = await self.store_observer.store.find_lease(lease_id)
        if not guarded.launched or not guarded.wants_results or lease is None or lease.is_over:
            return
        by = await trip.find_result("deadline", datetime)
        try:
            await trip.step(
                "save-results", str, lambda: self.saves.save_before_release(trip, lease, guarded, by)
            )
        except GpurentError as error:
            if reason is EndReason.IDLE:
                await self.log.fail_trip(trip.id, error)
                if isinstance(error, ResultsMissing):
                    await self.keeper.keep_results(self.log.context_of(guarded.id), guarded.spec, lease_id)
            raise

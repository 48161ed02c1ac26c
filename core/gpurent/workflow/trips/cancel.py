"""Cancels a trip: ends its job, downloads the results, releases what the trip rented, and closes it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.outcomes import OutcomeKind, TripOutcome
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import TripRecord
from gpurent.errors import ConfirmationRequired, Declined, LeaseError, UsageError
from gpurent.locale import _
from gpurent.roles.transfer_errors import summarize_texts
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import TripContext, TripTracker, require_open
from gpurent.workflow.runtime.lost_leases import LostLeases
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.steps.order_records import OrderRecorder
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.steps.unsent_orders import UnsentOrders
from gpurent.workflow.trips.finish import FinalDownload

_RENTING_KINDS = ("run", "rent", "restart")


@frozen(kw_only=True)
class CancelledTrip:
    """``receipt`` of the lease that was released; None if nothing was."""

    trip: str
    lease: str = ""
    receipt: Receipt | None = None


@frozen
class JobEnding:
    connections: Connections
    runners: JobRunners
    final_download: FinalDownload

    async def end_job(self, trip: TripContext, record: TripRecord, lease: Lease) -> Sequence[str]:
        """Stop the trip's job, and download the results that it made; return those that did not arrive."""
        spec = record.spec
        has_launched = any(name.endswith(".launch") for name in await trip.steps_by_name())
        if lease.state is not LeaseState.READY or not has_launched:
            return ()
        async with self.connections.make_connection(lease.id, trip.id) as connection:
            name = spec.job.name or trip.id
            await self.runners.run_with_retry(
                connection, spec.job.session, lambda runner: runner.stop_job(name)
            )
        outcome = await self.final_download.download_results(trip, spec, lease.id, stop_job=False)
        # The job was stopped, so what it had not made yet is not missing.
        return evolve(outcome, absent=()).missing if spec.results.are_wanted else ()


@frozen
class TripCancellation:
    trip_tracker: TripTracker
    lost_leases: LostLeases
    records: OrderRecorder
    unsent_orders: UnsentOrders
    questions: Questions
    jobs: JobEnding
    release: ReleaseStep
    receipts: Receipts

    async def cancel_trip(self, trip_id: str) -> CancelledTrip:
        """Cancel the trip; one that ordered nothing is only closed.

        Raises `UsageError` if it has ended or cannot be cancelled, `Declined` or `ConfirmationRequired` if nobody
        agrees, `BusyError` if another process is working on it, `LeaseError` if its order may be paid already.
        """
        record = await self._get_open_trip(trip_id)
        trip = self.trip_tracker.context_of(record.id)
        async with self.trip_tracker.lock_open_trip(record.id) as record:
            done = await self._cancel(trip, record)
            await self.trip_tracker.end_trip(record.id, TripOutcome(OutcomeKind.CANCELLED))
        return done

    async def _get_open_trip(self, trip_id: str) -> TripRecord:
        record = await self.trip_tracker.get_trip(trip_id)
        require_open(record)
        if record.kind == "guard":
            text = _("{trip} belongs to the guard").format(trip=record.id)
            raise UsageError(text, hint="gpurent watch --once")
        if record.kind == "release":
            raise UsageError(
                _("{trip} is a release, which cannot be cancelled").format(trip=record.id),
                hint=_("Finish it: gpurent resume {trip}").format(trip=record.id),
            )
        return record

    async def _cancel(self, trip: TripContext, record: TripRecord) -> CancelledTrip:
        if not record.lease:
            return CancelledTrip(trip=record.id)
        await self.lost_leases.restore_if_lost(record.lease)
        async with self.release.locks.lock_lease(record.lease):
            is_dropped = await self.unsent_orders.close_unsent_order(
                record.lease
            ) or await self.records.abandon_unpaid_order(trip.id, record.lease)
        lease = await self.release.leases.store.find_lease(record.lease)
        is_rented = record.kind in _RENTING_KINDS and not record.spec.lease
        if lease is None or (lease.is_over and lease.pending is None):
            return CancelledTrip(trip=record.id)
        if not is_dropped and not is_rented:
            raise LeaseError(
                _("the order of {trip} may be paid already").format(trip=record.id),
                hint=_("Finish it: gpurent resume {trip}").format(trip=record.id),
                burning=(lease.id,),
            )
        if not is_rented and not record.spec.job.command:
            return CancelledTrip(trip=record.id, lease=lease.id)
        await self._confirm(record, lease, is_rented)
        missing = await self.jobs.end_job(trip, record, lease)
        if not is_rented:
            return CancelledTrip(trip=record.id, lease=lease.id)
        if missing:
            await self._confirm_loss(record, lease, missing)
        released = await self.release.release_lease(trip, lease.id)
        return CancelledTrip(
            trip=record.id, lease=lease.id, receipt=await self.receipts.get_lease_receipt(released, trip.id)
        )

    async def _confirm(self, record: TripRecord, lease: Lease, is_rented: bool) -> None:
        text = _("Cancel {trip}? Its job is stopped and its results are downloaded; {lease} keeps running.")
        if is_rented:
            text = _(
                "Cancel {trip}? Its job is stopped, its results are downloaded, and {lease} is released."
            )
        text = text.format(trip=record.id, lease=lease.id)
        question = Question(id=f"cancel:{record.id}", kind=QuestionKind.DESTROY, text=text)
        await self.questions.require_yes(question, _("{trip} was not cancelled").format(trip=record.id))

    async def _confirm_loss(self, record: TripRecord, lease: Lease, missing: Sequence[str]) -> None:
        """Ask before the machine is released with results that could not be downloaded."""
        text = _("These results could not be downloaded: {what}. Release {lease} all the same?")
        question = Question(
            id=f"cancel-loss:{record.id}",
            kind=QuestionKind.DESTROY,
            text=text.format(what=summarize_texts(missing), lease=lease.id),
        )
        refused = _("the job was stopped, but its results are not complete; {lease} was not released")
        try:
            await self.questions.require_yes(question, refused.format(lease=lease.id))
        except (ConfirmationRequired, Declined) as error:
            error.burning = (lease.id,)
            raise

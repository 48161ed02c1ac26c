"""Cancels a trip: ends its job, downloads the results, releases what the trip rented, and closes it.

A machine on which others work is left running; one that was shut down to keep the results is started again for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.events import EventKind
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
from gpurent.workflow.runtime.unforeseen import add_hint
from gpurent.workflow.steps.keep_results import KeepResultsStep
from gpurent.workflow.steps.order_records import OrderRecorder
from gpurent.workflow.steps.release import ReleaseStep
from gpurent.workflow.steps.unsent_orders import UnsentOrders
from gpurent.workflow.trips.execute import is_only_ending
from gpurent.workflow.trips.finish import FinalDownload
from gpurent.workflow.trips.machine_use import MachineUse, MachineUseFinder
from gpurent.workflow.trips.restart_kept import KeptRestart, lease_id_of, list_earlier_leases
from gpurent.workflow.trips.restarted_leases import list_restarted_leases

_RENTING_KINDS = ("run", "rent", "restart")


@frozen(kw_only=True)
class CancelledTrip:
    """``lease`` is the machine that the trip used, empty if none was rented; ``is_released``: it costs nothing more.

    ``receipt`` is what the trip cost, None for a machine that the user rented himself and keeps.
    """

    trip: str
    lease: str = ""
    is_released: bool = False
    receipt: Receipt | None = None


@frozen
class JobEnding:
    connections: Connections
    runners: JobRunners
    final_download: FinalDownload

    async def end_job(self, trip: TripContext, record: TripRecord, lease: Lease) -> Sequence[str]:
        """Stop the trip's job, and download the results that it made; return those that did not arrive."""
        spec = record.spec
        if lease.state is not LeaseState.READY or not await has_launched(trip):
            return ()
        if await is_only_ending(trip):
            return (await self.final_download.download_results(trip, spec, lease.id, stop_job=False)).missing
        async with self.connections.make_connection(lease.id, trip.id) as connection:
            name = spec.job.name or trip.id
            await self.runners.run_with_retry(
                connection, spec.job.session, lambda runner: runner.stop_job(name)
            )
        outcome = await self.final_download.download_results(trip, spec, lease.id, stop_job=False)
        return outcome.without_unmade().missing


async def has_launched(trip: TripContext) -> bool:
    return any(name.endswith(".launch") for name in await trip.steps_by_name())


async def has_results_left(trip: TripContext, record: TripRecord) -> bool:
    """Whether the trip's job was started, and what it made was wanted and is not all downloaded."""
    steps = await trip.steps_by_name()
    is_done = any(name.endswith(".download") and step.done_at for name, step in steps.items())
    return record.spec.results.are_wanted and await has_launched(trip) and not is_done


def _has_rented(record: TripRecord) -> bool:
    """Whether the trip's machine is its own, and not one that the user named."""
    return record.kind in _RENTING_KINDS and not record.spec.lease


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
    kept_restart: KeptRestart
    keeper: KeepResultsStep
    uses: MachineUseFinder

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
        lease = await self._find_machine(trip, record)
        if lease is None:
            return CancelledTrip(trip=record.id)
        if await self._can_restart(trip, record, lease):
            return await self._download_kept(trip, record, lease)
        if lease.is_over and lease.pending is None:
            return await self._close(trip, record, lease)
        is_rented = _has_rented(record)
        if not is_dropped and not is_rented:
            raise LeaseError(
                _("the order of {trip} may be paid already").format(trip=record.id),
                hint=_("Finish it: gpurent resume {trip}").format(trip=record.id),
                burning=(lease.id,),
            )
        if not is_rented and not record.spec.job.command:
            return CancelledTrip(trip=record.id, lease=lease.id)
        use = await self.uses.find_use(trip, record.spec, lease.id) if is_rented else MachineUse()
        is_released = is_rented and not use.others
        await self._confirm_end(record, lease, is_released=is_released)
        missing = await self.jobs.end_job(trip, record, lease)
        if use.others:
            trip.emit(EventKind.WARNING, use.describe_others(lease.id), lease=lease.id)
        if not is_released:
            return CancelledTrip(trip=record.id, lease=lease.id)
        return await self._release(trip, record, lease, missing)

    async def _confirm_end(self, record: TripRecord, lease: Lease, *, is_released: bool) -> None:
        text = _("Cancel {trip}? Its job is stopped and its results are downloaded; {lease} keeps running.")
        if is_released:
            text = _(
                "Cancel {trip}? Its job is stopped, its results are downloaded, and {lease} is released."
            )
        await self._confirm(record, text.format(trip=record.id, lease=lease.id), QuestionKind.DESTROY)

    async def _find_machine(self, trip: TripContext, record: TripRecord) -> Lease | None:
        """Return the trip's machine; None if none was ever rented. A restart that came to nothing is forgotten.

        Of one that was shut down to keep results, return what became of it by now.
        """
        first, leases = lease_id_of(trip.id, record.spec), self.release.leases
        earlier = (first, *await list_restarted_leases(trip)) if record.kind == "run" else ()
        for lease_id in (record.lease, *reversed(earlier)):
            lease = await leases.store.find_lease(lease_id)
            if lease is None or (lease.state is LeaseState.CANCELLED and lease.pending is None):
                continue
            if lease_id != record.lease:
                await trip.store.set_trip_lease(trip.id, lease_id)
            if lease.state not in (LeaseState.KEPT, LeaseState.RELEASED) or not earlier:
                return lease
            return await self.kept_restart.find_restarted(trip, await leases.try_refresh_lease(lease_id))
        return None

    async def _can_restart(self, trip: TripContext, record: TripRecord, lease: Lease) -> bool:
        """Whether the machine holds results of a job that is over, and is shut down or just being started again."""
        is_starting = lease.restarted_from and not lease.is_over and lease.state is not LeaseState.READY
        return (
            (lease.state is LeaseState.KEPT or bool(is_starting))
            and self.kept_restart.can_restart(lease)
            and await has_results_left(trip, record)
            and await is_only_ending(trip)
        )

    async def _close(self, trip: TripContext, record: TripRecord, lease: Lease) -> CancelledTrip:
        """Close a trip whose machine is over; say so if results are lost with it."""
        if await has_results_left(trip, record):
            text = _("the results of {trip} were not downloaded, and its machine {lease} is over ({state})")
            text = text.format(trip=trip.id, lease=lease.id, state=lease.state.title)
            trip.emit(EventKind.WARNING, text, lease=lease.id)
        if _has_rented(record):
            return await self._make_released(trip, record, lease)
        return CancelledTrip(trip=record.id, lease=lease.id, is_released=True)

    async def _download_kept(self, trip: TripContext, record: TripRecord, lease: Lease) -> CancelledTrip:
        """Start the machine again, which the user has to agree to; download the results, and release it."""
        text = _(
            "Cancel {trip}? Its results are still on {lease}, which is shut down. The machine is started again for"
            " {price}, they are downloaded, and it is released."
        ).format(trip=record.id, lease=lease.id, price=lease.offer.tariff.price)
        try:
            await self._confirm(record, text, QuestionKind.SPEND)
        except (ConfirmationRequired, Declined) as error:
            add_hint(error, _("Do without them: gpurent release {lease}").format(lease=lease.id))
            raise
        first = lease_id_of(trip.id, record.spec)
        again = await self.release.leases.get_lease(await self.kept_restart.restart_if_kept(trip, first))
        await self.keeper.arm_for_download(trip, record.spec, again.id)
        return await self._release(trip, record, again, await self.jobs.end_job(trip, record, again))

    async def _release(
        self, trip: TripContext, record: TripRecord, lease: Lease, missing: Sequence[str]
    ) -> CancelledTrip:
        if missing:
            await self._confirm_loss(record, lease, missing)
        return await self._make_released(trip, record, await self.release.release_lease(trip, lease.id))

    async def _make_released(self, trip: TripContext, record: TripRecord, lease: Lease) -> CancelledTrip:
        earlier = await list_earlier_leases(trip, lease_id_of(trip.id, record.spec))
        receipt = await self.receipts.get_trip_end_receipt(lease, earlier, trip.id)
        return CancelledTrip(trip=record.id, lease=lease.id, is_released=True, receipt=receipt)

    async def _confirm(self, record: TripRecord, text: str, kind: QuestionKind) -> None:
        question = Question(id=f"cancel:{record.id}", kind=kind, text=text)
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

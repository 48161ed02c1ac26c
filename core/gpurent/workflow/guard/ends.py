"""Results on this computer before the machine ends, and the end: job stopped, results saved, machine released."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.transfer import Pull
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import Busy, GpurentError, UnavailableError
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.remote.samples import guard_command, parse_guard_sample
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.connection.transfers import FileTransfers
from gpurent.workflow.guard.decide import End, Reason
from gpurent.workflow.guard.observe_lease import GuardedTrip, StoreObserver
from gpurent.workflow.guard.records import ActionLog, GuardMemories, action_kind, action_name
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.waiting import wait_for_first
from gpurent.workflow.steps.release import ReleaseStep

T = TypeVar("T")
# What a save may still take when its time is over: better late than never, but not for ever.
LATE = timedelta(minutes=30)


async def finish_by(clock: Clock, by: datetime, work: Coroutine[Any, Any, T]) -> T:
    """``work``, cancelled if it is not done by ``by``: an `UnavailableError`; what began late gets `LATE`."""
    rest = by - clock.now()
    waiting = clock.sleep(rest if rest > timedelta() else LATE)
    working, _waited = await wait_for_first(work, waiting)
    if working.cancelled():
        raise UnavailableError(_("there was not enough time"), retryable=True)
    result: T = working.result()
    return result


@frozen
class ResultSaver:
    """Downloads what there is of a trip's results; what is not there yet is no failure."""

    connections: Connections
    runners: JobRunners
    transfers: FileTransfers
    memories: GuardMemories

    async def save(
        self, trip: TripContext, lease: str, guarded: GuardedTrip, begun: datetime, *, stop_job: bool = False
    ) -> str:
        """``stop_job``: end the job first. How many files, in words."""
        spec = guarded.spec
        async with self.connections.to(lease, trip.trip) as connection:
            if stop_job and guarded.launched:
                session = spec.job.session
                await connection.do(
                    lambda ssh: self.runners.on(ssh, connection.lease, session).stop(guarded.job_name)
                )
            sources = await self._existing_results(connection, guarded)
            if not sources:
                self.memories.note_saved(lease, begun)
                return "nothing"
            pull = Pull(sources=sources, target=Path(spec.results.dir or spec.upload.folder))
            report = await self.transfers.download(connection, pull, spec.upload.transfer)
        self.memories.note_saved(lease, begun)
        text = _("results saved: {files} files").format(files=report.files)
        trip.emit(EventKind.SAVED, text, lease=lease, files=report.files, size=report.total)
        return f"{report.files} files"

    async def _existing_results(
        self, connection: ReconnectingConnection, guarded: GuardedTrip
    ) -> tuple[str, ...]:
        asked = guarded.results
        ran = await connection.do(lambda ssh: ssh.run(guard_command(asked)))
        there = sorted(parse_guard_sample(ran.out).result_sizes)
        return tuple(asked[number] for number in there if number < len(asked))


@frozen
class Saves:
    """Results saved while the job goes on: each a trip of its own."""

    log: ActionLog
    observed: StoreObserver
    saver: ResultSaver

    def begin(self, lease: Lease) -> TripRecord | None:
        """None while one is under way: it is left to go on."""
        if any(record.under_way for record in self.log.of_lease(lease.id, "save")):
            return None
        name = action_name("save", lease.id, self.log.clock.now())
        return self.log.begin(name, TripSpec(provider=lease.provider), lease.id)

    async def carry_on(self, trip: TripContext, record: TripRecord) -> None:
        guarded = self.observed.trip_of(record.lease)
        try:
            if guarded is not None:
                begun = self.log.clock.now()
                await trip.step("save", str, lambda: self.saver.save(trip, record.lease, guarded, begun))
        except GpurentError as error:
            if not error.retryable:
                self.log.fail_trip(trip.trip, error)
            raise
        self.log.end_trip(trip.trip)

    async def save_last(
        self, trip: TripContext, lease: str, guarded: GuardedTrip, by: datetime | None
    ) -> str:
        """Stop the job and save. Without ``by``, a failure is raised; with it, the limit wins: it is a warning."""
        work = self.saver.save(trip, lease, guarded, self.log.clock.now(), stop_job=True)
        if by is None:
            return await work
        try:
            return await finish_by(self.log.clock, by, work)
        except GpurentError as error:
            text = _("the results could not be saved: {why}").format(why=error.message)
            trip.emit(EventKind.WARNING, text, lease=lease)
            return f"failed: {error.code}"


@frozen
class Ends:
    """Each end is a trip of its own."""

    log: ActionLog
    observed: StoreObserver
    saves: Saves
    release: ReleaseStep
    receipts: Receipts

    def begin(self, lease: Lease, action: End) -> TripRecord:
        """The trip for this reason; its time limit is written down with it."""
        name = action_name(action.reason.value, lease.id)
        record = self.log.begin(name, TripSpec(provider=lease.provider), lease.id)
        if action.by is not None:
            self.log.store.begin_step(record.id, "by")
            self.log.store.record_step(record.id, "by", action.by)
        return record

    def drop_if_outdated(self, record: TripRecord) -> bool:
        """An end for idleness that had not begun to save: whether it is idle still must be looked at anew."""
        steps = {step.name for step in self.log.store.steps(record.id)}
        if action_kind(record.id) != Reason.IDLE.value or steps & {"save", "release"}:
            return False
        self.log.end_trip(record.id, "failed: interrupted")
        return True

    async def carry_on(self, trip: TripContext, record: TripRecord) -> None:
        """Save, release, end the lease's other trips; the receipt last."""
        reason = Reason(action_kind(record.id))
        guarded = self.observed.trip_of(record.lease)
        with ExitStack() as stack:
            if guarded is not None:
                # So that nobody resumes it meanwhile. Held by a living run: the limit is enforced all the same.
                with suppress(Busy):
                    stack.enter_context(self.log.lock_trip(guarded.id))
                await self._save_results(trip, record.lease, guarded, reason)
            lease = await self.release.release_lease(trip, record.lease)
            for other in self.log.store.trips(record.lease):
                if other.under_way and other.id != record.id:
                    self.log.end_trip(other.id, f"stopped: {reason.value}")
        try:
            await self.receipts.of_lease(lease)
        except GpurentError as error:
            # The provider's statement may come late; the machine is released either way.
            trip.emit(EventKind.WARNING, error.message, lease=lease.id)
        self.log.end_trip(trip.trip)

    async def _save_results(
        self, trip: TripContext, lease_id: str, guarded: GuardedTrip, reason: Reason
    ) -> None:
        """What is only idle is not released unsaved; it is looked at anew."""
        lease = self.observed.store.lease(lease_id)
        if not guarded.results or lease is None or lease.over:
            return
        by = trip.recall("by", datetime)
        try:
            await trip.step("save", str, lambda: self.saves.save_last(trip, lease_id, guarded, by))
        except GpurentError as error:
            if reason is Reason.IDLE:
                self.log.fail_trip(trip.trip, error)
            raise

"""What the guard does, each as a journaled trip of kind ``guard``: a guard that was killed goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.transfer import Pull, TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.remote.guard_sample import read, script
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.guard.action_log import STAMP, begin, failed, unfinished
from gpurent.workflow.guard.decide import End, Reason, Renew, Save
from gpurent.workflow.guard.observe import SCOPE, Trip, trip_of
from gpurent.workflow.guard.renewals import Renewals
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.release import receipt_of, release_lease
from gpurent.workflow.steps.transfer_files import download
from gpurent.workflow.timing.timer_policy import keep_awake

if TYPE_CHECKING:
    from gpurent.infra.sqlite.journal import TripRow
    from gpurent.workflow.trips.operations import Service

T = TypeVar("T")
NOTHING = "nothing"
# What a save may still take when its time is over: better late than never, but not for ever.
LATE = timedelta(minutes=30)
SOON = timedelta(minutes=5)


class GuardActions:
    """Bound to a `Service`. Every deed can be repeated: what was done is recalled."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.desk = service.desk
        self._renewals = Renewals(service)

    async def carry_on(self, row: TripRow) -> None:
        """Do what the trip was begun for; held by another process, it is left to that."""
        try:
            with self.desk.hold(row.id):
                await self._carry_on(TripContext(self.desk, row.id), row)
        except UsageError as error:
            raise UnavailableError(error.message, retryable=True) from None

    async def _carry_on(self, trail: TripContext, row: TripRow) -> None:
        what = row.id.split("-")[1]
        if what == "renew":
            await self._renewals.carry_on(trail, row)
        elif what == "save":
            await self._save(trail, row)
        else:
            await self._end(trail, row, Reason(what))

    async def renew(self, lease: Lease, action: Renew) -> None:
        row = await self._renewals.begin(lease, action)
        if not row.outcome:
            await self.carry_on(row)

    # results

    async def save(self, lease: Lease, action: Save) -> None:
        """The results as they are now; the job goes on. One that is under way is left to go on."""
        if any(row.id.startswith(f"{SCOPE}-save-") for row in unfinished(self.desk, lease.id)):
            return
        name = f"{SCOPE}-save-{lease.id}-{self.desk.clock.now():{STAMP}}"
        row = begin(self.desk, name, TripSpec(provider=lease.provider), lease.id)
        await within(self, action.by, self.carry_on(row))

    async def _save(self, trail: TripContext, row: TripRow) -> None:
        trip = trip_of(self.desk, self.desk.lease(row.lease))
        try:
            if trip is not None:
                await trail.once("save", str, lambda: self._bring(trail, row.lease, trip))
        except GpurentError as error:
            if not error.retryable:
                self.desk.journal.end_trip(trail.trip, failed(error))
            raise
        self.desk.journal.end_trip(trail.trip, "done")

    async def _bring(self, trail: TripContext, lease: str, trip: Trip, *, stop: bool = False) -> str:
        """What there is of the results comes home; results that are not there yet are no failure."""
        desk, want = self.desk, trip.row.want
        begun = desk.clock.now()
        line = ReconnectingConnection(desk, lease, trail.trip)
        try:
            if stop and trip.launched:
                name = want.name or trip.row.id
                await line.do(lambda link: jobs(desk, link, desk.lease(lease), want.session).stop(name))
            command = script(trip.results)
            there = read((await line.do(lambda link: link.run(command))).out).there
            sources = tuple(trip.results[number] for number in sorted(there) if number < len(trip.results))
            if not sources:
                desk.journal.put_note(SCOPE, f"saved/{lease}", begun.isoformat())
                return NOTHING
            cargo = Pull(sources=sources, target=Path(want.home or want.folder))
            report: TransferReport = await download(desk, line, cargo, want.transfer)
        finally:
            await line.close()
        desk.journal.put_note(SCOPE, f"saved/{lease}", begun.isoformat())
        trail.tell(
            EventKind.SAVED,
            _("results saved: {files} files").format(files=report.files),
            lease=lease,
            files=report.files,
            size=report.total,
        )
        return f"{report.files} files"

    async def keep_awake(self, lease: Lease) -> None:
        """Idempotent by itself: a deadline that is later already stays."""
        trip = trip_of(self.desk, lease)
        if trip is None:
            return
        line = ReconnectingConnection(self.desk, lease.id)
        try:
            soon = self.desk.clock.now() + SOON
            await within(self, soon, keep_awake(self.desk, line, trip.row.want))
        finally:
            await line.close()

    # the end

    async def end(self, lease: Lease, action: End) -> None:
        """Stop the job, bring the results home, give the machine back, end its trip."""
        want = TripSpec(provider=lease.provider)
        row = begin(self.desk, f"{SCOPE}-{action.reason.value}-{lease.id}", want, lease.id)
        by = action.by
        if by is not None:
            self.desk.journal.begin(row.id, "by")
            self.desk.journal.record(row.id, "by", by)
        if not row.outcome:
            await self.carry_on(row)

    def interrupted(self, row: TripRow) -> bool:
        """A return for idleness that had not begun to save: whether it is idle still must be looked at anew."""
        steps = {step.name for step in self.desk.journal.steps(row.id)}
        if not row.id.startswith(f"{SCOPE}-{Reason.IDLE.value}-") or steps & {"save", "release"}:
            return False
        self.desk.journal.end_trip(row.id, "failed: interrupted")
        return True

    async def _end(self, trail: TripContext, row: TripRow, reason: Reason) -> None:
        desk = self.desk
        trip = trip_of(desk, desk.lease(row.lease))
        with ExitStack() as stack:
            if trip is not None:
                # So that nobody resumes it meanwhile. Held by a living run: the limit is enforced all the same.
                with suppress(UsageError):
                    stack.enter_context(desk.hold(trip.row.id))
                if trip.row.want.results and not desk.lease(row.lease).over:
                    await self._saved(trail, row.lease, trip, reason)
            await release_lease(trail, row.lease)
            for other in desk.journal.trips(row.lease):
                if not other.outcome and other.id != row.id:
                    desk.journal.end_trip(other.id, f"stopped: {reason.value}")
        await self._account(trail, row.lease)
        desk.journal.end_trip(trail.trip, "done")

    async def _saved(self, trail: TripContext, lease: str, trip: Trip, reason: Reason) -> None:
        """What is only idle is not given back unsaved; it is looked at anew."""
        by = self.desk.journal.recall(trail.trip, "by", datetime)
        try:
            await trail.once("save", str, lambda: self._last_save(trail, lease, trip, by))
        except GpurentError as error:
            if reason is Reason.IDLE:
                self.desk.journal.end_trip(trail.trip, failed(error))
            raise

    async def _last_save(self, trail: TripContext, lease: str, trip: Trip, by: datetime | None) -> str:
        """Without a hard limit nothing is given back unsaved; with one, the limit wins."""
        if by is None:
            return await self._bring(trail, lease, trip, stop=True)
        try:
            return await within(self, by, self._bring(trail, lease, trip, stop=True))
        except GpurentError as error:
            trail.tell(
                EventKind.WARNING,
                _("the results could not be saved: {why}").format(why=error.message),
                lease=lease,
            )
            return f"failed: {error.code}"

    async def _account(self, trail: TripContext, lease: str) -> None:
        """The books may come late; the machine is back either way."""
        try:
            await receipt_of(self.desk, self.desk.lease(lease), self.service.idle_of(lease))
        except GpurentError as error:
            trail.tell(EventKind.WARNING, error.message, lease=lease)


async def within(deeds: GuardActions, by: datetime, work: Awaitable[T]) -> T:
    """``work``, unless it is not done by ``by`` (provider time); what began late gets `LATE`."""
    clock = deeds.desk.clock
    rest = by - clock.now()
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(clock.sleep(rest if rest > timedelta() else LATE))
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
    raise UnavailableError(_("there was not enough time"), retryable=True)

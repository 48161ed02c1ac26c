"""Step: watch the job, the money and the time until the job has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.session import Job, JobState, JobStatus
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseGone, Spent, TransferError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.payments.job_budget import JobBudget
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.timing.alarms import mind
from gpurent.workflow.timing.time_left import time_left
from gpurent.workflow.timing.time_text import figure_data, sentence
from gpurent.workflow.timing.timer_policy import keep_awake

LOOK = timedelta(seconds=5)
SHOP = timedelta(seconds=60)
SHOW = timedelta(minutes=30)


@frozen(kw_only=True)
class Ended:
    """When the job ended (provider time; the machine's own word where it is later looked at), and how."""

    at: datetime
    status: JobStatus


Bring = Callable[[], Coroutine[Any, Any, object]]


async def monitor(
    trail: TripContext,
    leg: str,
    line: ReconnectingConnection,
    want: TripSpec,
    job: Job,
    limit: Money | None,
    bring: Bring | None = None,
) -> Ended:
    """The job's end. Its output goes to the user as it comes. ``limit``: the budget in the account's currency.

    ``bring`` fetches what there is of the results, now and then, in the background; cancelled at the job's end.
    """
    watch = _Watch(trail, line, want, job, limit, bring)
    return await trail.once(f"{leg}.monitor", Ended, watch.until_end)


class _Watch:
    def __init__(
        self,
        trail: TripContext,
        line: ReconnectingConnection,
        want: TripSpec,
        job: Job,
        limit: Money | None,
        bring: Bring | None,
    ) -> None:
        self.trail, self.line, self.want, self.job = trail, line, want, job
        self.desk = trail.desk
        self.bring = bring
        self.bringing: asyncio.Future[object] | None = None
        self.begun_at = self.desk.clock.now()
        self.offset = 0
        self.purse = JobBudget(trail, limit)
        self.shown: datetime | None = None

    async def until_end(self) -> Ended:
        try:
            return await self._until_end()
        finally:
            # What it left half done is taken up by the last pull.
            await self._stop_bringing()

    async def _until_end(self) -> Ended:
        shop_at = self.desk.clock.now() - SHOP
        while True:
            status = await self.line.do(self._look)
            if status.state is JobState.ENDED:
                self.trail.tell(
                    EventKind.JOB_ENDED,
                    _("exit code {code}").format(code=status.exit_code),
                    lease=self.line.lease.id,
                    exit_code=status.exit_code if status.exit_code is not None else -1,
                )
                return Ended(at=self._ended_at(status), status=status)
            if status.state is not JobState.RUNNING:
                raise LeaseGone(
                    _("the job {name} is no more and left no exit code").format(name=self.job.name),
                    hint=_("A machine that is shut takes its sessions with it; nothing restores them."),
                    spent=Spent.YES,
                )
            if self.desk.clock.now() - shop_at >= SHOP:
                shop_at = self.desk.clock.now()
                await self._mind_money(await self.line.look())
                await keep_awake(self.desk, self.line, self.want)
            self._bring_now_and_then()
            await self.desk.pace(LOOK, floor=0.3)

    def _bring_now_and_then(self) -> None:
        """One at a time, counted from begin to begin; job, money and time are watched all the while."""
        every, now = self.want.pull_every, self.desk.clock.now()
        if self.bring is None or every is None:
            return
        if self.bringing is not None:
            if not self.bringing.done():
                return
            self._brought(self.bringing)
            self.bringing = None
        if now - self.begun_at >= every:
            self.begun_at = now
            self.bringing = asyncio.ensure_future(self.bring())

    def _brought(self, bringing: asyncio.Future[object]) -> None:
        """Results that are not there yet, or are being written, come with the next turn or at the end."""
        text = _("results so far are here")
        try:
            bringing.result()
        except TransferError as error:
            text = error.message
        self.trail.tell(EventKind.PROGRESS, text, lease=self.line.lease.id)

    async def _stop_bringing(self) -> None:
        if self.bringing is None:
            return
        self.bringing.cancel()
        await asyncio.wait({self.bringing})
        if not self.bringing.cancelled():
            self.bringing.exception()

    async def _look(self, link: SshConnection) -> JobStatus:
        runner = jobs(self.desk, link, self.line.lease, self.want.session)
        status = await runner.status(self.job.name)
        while chunk := await runner.log(self.job.name, self.offset):
            self.offset += len(chunk)
            self.desk.ui.output(chunk)
        return status

    def _ended_at(self, status: JobStatus) -> datetime:
        now = self.desk.clock.now()
        if status.ended_at is None:
            return now
        begun = self.trail.done_at(f"{self.trail.step.partition('.')[0]}.launch") or now
        return min(now, max(begun, self.desk.clock.from_wall(status.ended_at)))

    async def _mind_money(self, lease: Lease) -> None:
        """Stops the trip when the budget is used up; warns when the time runs out, whatever decides it."""
        await self.purse.mind(lease)
        figure = (await time_left(self.desk, [lease]))[lease.id]
        mind(self.desk, lease, figure, trip=self.trail.trip)
        now = self.desk.clock.now()
        if self.shown is None or now - self.shown >= SHOW:
            self.shown = now
            self.trail.tell(EventKind.TIME_LEFT, sentence(figure), lease=lease.id, **figure_data(figure))

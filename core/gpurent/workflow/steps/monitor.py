"""Step: watch the job, the money and the time until the job has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.session import Job, JobState
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseGone, Spent
from gpurent.locale import _
from gpurent.ports.system import ProviderClock
from gpurent.workflow.connection.jobs import ObservedJob
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.payments.budgets import Budgets, JobBudget
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.job_watch import Interval, JobWatcher
from gpurent.workflow.timing.time_left import TimeAlarms, describe_time_left, time_left_data
from gpurent.workflow.timing.time_reader import TimeLeftReader

SHOW_INTERVAL = timedelta(minutes=30)


@frozen
class MonitorStep:
    """Ends with the job; stops earlier when a budget is used up."""

    watcher: JobWatcher
    budgets: Budgets
    time_left: TimeLeftReader
    alarms: TimeAlarms
    clock: ProviderClock

    async def monitor_job(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        job: Job,
        limit: Money | None,
    ) -> ObservedJob:
        """The job's end (by the machine's time where we looked later); its output is shown as it comes.

        ``limit``: the budget in the account's currency.
        """

        async def watch() -> ObservedJob:
            check = self._make_lease_check(trip, JobBudget(self.budgets, trip, limit))
            end = await self.watcher.watch_job(connection, spec, job.name, check, check_at_once=True)
            if end.status.state is not JobState.ENDED:
                raise LeaseGone(
                    _("the job {name} is no more and left no exit code").format(name=job.name),
                    hint=_("A machine that is shut takes its sessions with it; nothing restores them."),
                    spent=Spent.YES,
                )
            code = end.status.exit_code
            trip.emit(
                EventKind.JOB_ENDED,
                _("exit code {code}").format(code=code),
                lease=connection.lease_id,
                exit_code=code if code is not None else -1,
            )
            return ObservedJob(
                at=self._get_end_time(end, trip.step_done_at(f"{leg}.launch")), status=end.status
            )

        return await trip.step(f"{leg}.monitor", ObservedJob, watch)

    def _make_lease_check(self, trip: TripContext, budget: JobBudget) -> Callable[[Lease], Awaitable[None]]:
        """Stops the trip when the budget is used up; warns when the time runs out, whatever decides it."""
        shown = Interval(self.clock, SHOW_INTERVAL)

        async def check(lease: Lease) -> None:
            await budget.check_lease(lease)
            figure = (await self.time_left.get_time_left([lease]))[lease.id]
            self.alarms.warn_if_low(lease, figure, trip=trip.id)
            if shown.is_due():
                trip.emit(
                    EventKind.TIME_LEFT, describe_time_left(figure), lease=lease.id, **time_left_data(figure)
                )

        return check

    def _get_end_time(self, end: ObservedJob, launched_at: datetime | None) -> datetime:
        """By the machine's own clock, as far as that can be true."""
        if end.status.ended_at is None:
            return end.at
        return min(end.at, max(launched_at or end.at, self.clock.from_wall_time(end.status.ended_at)))

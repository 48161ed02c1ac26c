"""Step: watch the job, the budget and the time left until the job ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.job import Job, JobState
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseGone, Spent
from gpurent.locale import _
from gpurent.ports.kept_logs import KeptLogs
from gpurent.ports.system import ProviderClock
from gpurent.workflow.connection.jobs import ObservedJob
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.job_limits import JobLimits
from gpurent.workflow.steps.job_watch import Interval, JobWatcher
from gpurent.workflow.timing.time_left import TimeWarnings, describe_time_left, time_left_data
from gpurent.workflow.timing.time_reader import TimeLeftReader

SHOW_INTERVAL = timedelta(minutes=30)


@frozen
class MonitorStep:
    """Watches the job until it ends; raises an error earlier if a budget is used up, or a deadline comes."""

    watcher: JobWatcher
    limits: JobLimits
    time_left: TimeLeftReader
    time_warnings: TimeWarnings
    clock: ProviderClock
    logs: KeptLogs

    async def monitor_job(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        job: Job,
        limit: Money | None,
    ) -> ObservedJob:
        """Watch the job and show its output; return its end, by the machine's clock if it was noticed later.

        ``limit``: the budget in the account's currency.
        """

        async def watch() -> ObservedJob:
            check = self._make_lease_check(trip, spec, limit)
            end = await self.watcher.watch_job(
                connection,
                spec,
                job.name,
                check,
                check_at_once=True,
                on_output=self._make_log_writer(trip.id),
            )
            if end.status.state is not JobState.ENDED:
                raise LeaseGone(
                    _("job {name} disappeared without an exit code").format(name=job.name),
                    hint=_("Sessions end when the machine shuts down and cannot be restored."),
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
                at=self._get_end_time(end, await trip.step_done_at(f"{leg}.launch")), status=end.status
            )

        return await trip.step(f"{leg}.monitor", ObservedJob, watch)

    def _make_log_writer(self, trip_id: str) -> Callable[[bytes], None]:
        """Return what keeps the job's output here: its machine will be gone."""
        offset = 0

        def keep(chunk: bytes) -> None:
            nonlocal offset
            self.logs.write(trip_id, offset, chunk)
            offset += len(chunk)

        return keep

    def _make_lease_check(
        self, trip: TripContext, spec: TripSpec, limit: Money | None
    ) -> Callable[[Lease], Awaitable[None]]:
        """Return a check that raises an error if a limit is reached, and warns if the time left is low."""
        shown = Interval(self.clock, SHOW_INTERVAL)
        check_limits = self.limits.make_check(trip, spec, limit)

        async def check(lease: Lease) -> None:
            await check_limits(lease)
            figure = (await self.time_left.get_time_left([lease]))[lease.id]
            await self.time_warnings.warn_if_low(lease, figure, trip=trip.id)
            if shown.is_due():
                trip.emit(
                    EventKind.TIME_LEFT, describe_time_left(figure), lease=lease.id, **time_left_data(figure)
                )

        return check

    def _get_end_time(self, end: ObservedJob, launched_at: datetime | None) -> datetime:
        """Return the end by the machine's clock, limited to between the launch and now."""
        if end.status.ended_at is None:
            return end.at
        return min(end.at, max(launched_at or end.at, self.clock.from_wall_time(end.status.ended_at)))

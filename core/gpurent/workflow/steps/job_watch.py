"""Watches a running job: its output, and less often its machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import cast

from attrs import define, frozen

from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripSpec
from gpurent.ports.system import Clock
from gpurent.ports.terminal import Display
from gpurent.workflow.connection.jobs import JobLog, JobRunners, ObservedJob
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.waiting import Poller
from gpurent.workflow.timing.timers import TripTimers

POLL_INTERVAL = timedelta(seconds=5)
LEASE_CHECK_INTERVAL = timedelta(seconds=60)


@define
class Interval:
    """Is due once per ``span`` of provider time; immediately if there is no ``last_due``."""

    clock: Clock
    span: timedelta
    last_due: datetime | None = None

    def is_due(self) -> bool:
        now = self.clock.now()
        if self.last_due is not None and now - self.last_due < self.span:
            return False
        self.last_due = now
        return True


@frozen
class JobWatcher:
    """Shows a job's output as it arrives, and extends the timer of its machine."""

    runners: JobRunners
    timers: TripTimers
    display: Display
    poller: Poller

    async def watch_job(
        self,
        connection: ReconnectingConnection,
        spec: TripSpec,
        name: str,
        check_lease: Callable[[Lease], Awaitable[None]],
        *,
        check_at_once: bool = False,
        on_output: Callable[[bytes], None] | None = None,
    ) -> ObservedJob:
        """Watch the job ``name`` until it is no longer running.

        ``check_lease`` is called with the lease at intervals; an error that it raises ends the watch. ``on_output``
        receives all output as well.
        """
        clock = self.poller.clock
        checks = Interval(clock, LEASE_CHECK_INTERVAL, None if check_at_once else clock.now())

        def show(chunk: bytes) -> None:
            self.display.show_output(chunk)
            if on_output is not None:
                on_output(chunk)

        log = JobLog(name, show)

        async def look() -> JobStatus | None:
            status = await self.runners.run_with_retry(connection, spec.job.session, log.read_new_output)
            if status.state is not JobState.RUNNING:
                return status
            if checks.is_due():
                await check_lease(await connection.refresh_lease())
                await self.timers.extend_if_due(connection, spec)
            return None

        # Without a timeout, the poll ends only with a result.
        status = cast(JobStatus, await self.poller.poll(look, interval=POLL_INTERVAL, min_seconds=0.3))
        return ObservedJob(at=clock.now(), status=status)

"""Watching a job while it runs: its output, and at a longer interval its machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import cast

from attrs import define, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.session import JobState, JobStatus
from gpurent.domain.trip import TripSpec
from gpurent.ports.system import Clock
from gpurent.ports.terminal import Display
from gpurent.workflow.connection.jobs import JobLog, JobRunners, SeenJob
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.waiting import Poller
from gpurent.workflow.timing.timers import TripTimers

POLL = timedelta(seconds=5)
CHECK = timedelta(seconds=60)


@define
class Interval:
    """Due once in each ``span`` of provider time; at once when there is no ``last`` time."""

    clock: Clock
    span: timedelta
    last: datetime | None = None

    def is_due(self) -> bool:
        now = self.clock.now()
        if self.last is not None and now - self.last < self.span:
            return False
        self.last = now
        return True


@frozen
class JobWatcher:
    """Shows a job's output as it comes, and moves its machine's timer on."""

    runners: JobRunners
    timers: TripTimers
    display: Display
    poller: Poller

    async def watch(
        self,
        connection: ReconnectingConnection,
        spec: TripSpec,
        name: str,
        check: Callable[[Lease], Awaitable[None]],
        *,
        check_at_once: bool = False,
        keep: Callable[[bytes], None] | None = None,
    ) -> SeenJob:
        """Watch the job ``name`` until it is first seen not to run any more.

        ``check`` is given the lease now and then, and stops everything by an error. ``keep`` is given all output too.
        """
        clock = self.poller.clock
        checks = Interval(clock, CHECK, None if check_at_once else clock.now())

        def show(chunk: bytes) -> None:
            self.display.show_output(chunk)
            if keep is not None:
                keep(chunk)

        log = JobLog(name, show)

        async def look() -> JobStatus | None:
            status = await self.runners.do(connection, spec.job.session, log.read_new)
            if status.state is not JobState.RUNNING:
                return status
            if checks.is_due():
                await check(await connection.refresh_lease())
                await self.timers.keep_awake(connection, spec)
            return None

        # Without patience the poll ends only when it has found something.
        status = cast(JobStatus, await self.poller.poll(look, every=POLL, floor=0.3))
        return SeenJob(at=clock.now(), status=status)

"""Step: start the job so that it keeps running if the connection drops."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.job import Job, JobState
from gpurent.domain.trip import JobSpec
from gpurent.errors import JobError, Spent
from gpurent.locale import _
from gpurent.ports.system import Clock
from gpurent.workflow.connection.jobs import JobRunners, ObservedJob
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext

# Real seconds in which a job with a mistake usually exits.
EARLY_EXIT_SECONDS = 1.5


@frozen
class LaunchStep:
    runners: JobRunners
    clock: Clock

    async def launch_job(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: JobSpec,
        job: Job,
        *,
        has_begun: bool = False,
    ) -> ObservedJob:
        """Start ``job``; return when it was seen running, and its status.

        Raises `JobError` with the reason if it fails immediately. Of a job that ``has_begun`` earlier, the end is for
        whoever watches it.
        """

        async def start() -> ObservedJob:
            whole = self.runners.add_secrets(job, spec)
            await self.runners.run_with_retry(
                connection, spec.session, lambda runner: runner.start_job(whole)
            )
            at = self.clock.now()
            status = await self.runners.run_with_retry(
                connection,
                spec.session,
                lambda runner: runner.wait_for_early_exit(job.name, EARLY_EXIT_SECONDS),
            )
            if status.state is JobState.ENDED and status.exit_code and not has_begun:
                raise JobError(
                    _("the job ended immediately with exit code {code}").format(code=status.exit_code),
                    hint=_("Is the command or a path wrong? The job reported: {reason}").format(
                        reason=status.reason or "-"
                    ),
                    detail=status.reason,
                    spent=Spent.YES,
                )
            text = _("session {name}").format(name=job.name)
            trip.emit(EventKind.JOB_STARTED, text, lease=connection.lease_id, session=job.name)
            return ObservedJob(at=at, status=status)

        return await trip.step(f"{leg}.launch", ObservedJob, start)

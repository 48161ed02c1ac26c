"""Step: start the job so that a lost line cannot stop it."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.session import Job, JobState, JobStatus
from gpurent.domain.trip import TripSpec
from gpurent.errors import JobError, Spent
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext

LOOK = 1.5


@frozen(kw_only=True)
class Launched:
    """When the job was seen running (provider time), and how."""

    at: datetime
    status: JobStatus


async def launch(
    trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec, job: Job
) -> Launched:
    """Start ``job`` once; an end at once with a failure is a `JobError` that says why."""

    async def start() -> Launched:
        async def go(link: SshConnection) -> JobStatus:
            return await jobs(trail.desk, link, line.lease, want.session).start(job)

        async def look(link: SshConnection) -> JobStatus:
            return await jobs(trail.desk, link, line.lease, want.session).settle(job.name, LOOK)

        await line.do(go)
        at = trail.desk.clock.now()
        status = await line.do(look)
        if status.state is JobState.ENDED and status.exit_code:
            raise JobError(
                _("the job ended at once with exit code {code}").format(code=status.exit_code),
                hint=_("A wrong command or path? The job said: {reason}").format(reason=status.reason or "-"),
                detail=status.reason,
                spent=Spent.YES,
            )
        trail.tell(
            EventKind.JOB_STARTED,
            _("session {name}").format(name=job.name),
            lease=line.lease.id,
            session=job.name,
        )
        return Launched(at=at, status=status)

    return await trail.once(f"{leg}.launch", Launched, start)

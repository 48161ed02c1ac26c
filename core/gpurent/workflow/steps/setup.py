"""Step: make the machine ready for the job. It runs as a job of its own, so that a lost line cannot stop it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.domain.session import Job, JobState, JobStatus
from gpurent.domain.terminal_text import strip_terminal
from gpurent.domain.trip import Packages, TripSpec
from gpurent.errors import GpurentError, JobError, Spent
from gpurent.infra.platform.posix.files import private_folder
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.remote.setup_script import NO_CONDA, script
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.payments.job_budget import JobBudget
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.timing.timer_policy import keep_awake

LOOK = timedelta(seconds=5)
SHOP = timedelta(seconds=60)
LAST = 12


@frozen(kw_only=True)
class Ready:
    """When the machine was ready, in provider time."""

    at: datetime


def wanted(want: TripSpec) -> bool:
    """Whether there is anything to do."""
    return bool(want.setup) or want.packages != Packages()


async def setup(
    trail: TripContext,
    leg: str,
    line: ReconnectingConnection,
    want: TripSpec,
    folder: str,
    limit: Money | None,
) -> Ready:
    """Run the setup in ``folder``, once; its output goes to the user and into a log here. A failure is a `JobError`."""
    profile = trail.desk.profile_of(line.lease)
    job = Job(name=_name(trail), command=script(want, profile.python), folder=folder)
    run = _Run(trail, line, want, job, limit)
    return await trail.once(f"{leg}.setup", Ready, run.until_ready)


async def abandon(trail: TripContext, line: ReconnectingConnection, want: TripSpec) -> None:
    """End what `setup` began on a machine where it is of no more use; as far as that can be done."""
    name = _name(trail)
    with suppress(GpurentError):
        await line.do(lambda link: jobs(trail.desk, link, line.lease, want.session).stop(name))


def _name(trail: TripContext) -> str:
    return f"setup-{trail.trip}"


class _Run:
    def __init__(
        self, trail: TripContext, line: ReconnectingConnection, want: TripSpec, job: Job, limit: Money | None
    ) -> None:
        self.trail, self.line, self.want, self.job = trail, line, want, job
        self.desk = trail.desk
        self.offset = 0
        self.purse = JobBudget(trail, limit)
        self.log = private_folder(self.desk.home / "logs") / f"{job.name}.log"

    async def until_ready(self) -> Ready:
        self.log.write_bytes(b"")
        await self.line.do(self._start)
        shop_at = self.desk.clock.now()
        while True:
            status = await self.line.do(self._look)
            if status.state is not JobState.RUNNING:
                break
            if self.desk.clock.now() - shop_at >= SHOP:
                shop_at = self.desk.clock.now()
                await self.purse.mind(await self.line.look())
                await keep_awake(self.desk, self.line, self.want)
            await self.desk.pace(LOOK, floor=0.3)
        if status.state is not JobState.ENDED or status.exit_code:
            raise self._failed(status)
        return Ready(at=self.desk.clock.now())

    async def _start(self, link: SshConnection) -> JobStatus:
        # It may be here before the first file.
        await link.run(f"mkdir -p {shlex.quote(self.job.folder)}")
        return await jobs(self.desk, link, self.line.lease, self.want.session).start(self.job)

    async def _look(self, link: SshConnection) -> JobStatus:
        runner = jobs(self.desk, link, self.line.lease, self.want.session)
        status = await runner.status(self.job.name)
        while chunk := await runner.log(self.job.name, self.offset):
            self.offset += len(chunk)
            self.desk.ui.output(chunk)
            _append(self.log, chunk)
        return status

    def _failed(self, status: JobStatus) -> JobError:
        text = strip_terminal(self.log.read_text("utf-8", "replace"))
        said = "\n".join(text.strip().split("\n")[-LAST:])
        message = _("the setup failed with exit code {code}").format(code=status.exit_code)
        if status.state is not JobState.ENDED:
            message = _("the setup is no more and left no exit code")
        hints = [said, _("The whole output: {path}").format(path=self.log), _advice(status, text)]
        return JobError(message, hint="\n".join(text for text in hints if text), detail=said, spent=Spent.YES)


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)


def _advice(status: JobStatus, text: str) -> str:
    """What the usual failures mean."""
    if "externally-managed-environment" in text:
        return _(
            "This system's own Python takes no packages; use conda in [setup], or a virtual environment."
        )
    if "No module named pip" in text:
        return _("pip is missing there; use conda in [setup], or let one of its commands bring the packages.")
    if status.exit_code == NO_CONDA:
        return ""
    return _("Try it by hand on a machine that you keep: --on-error keep, then gpurent ssh LEASE")

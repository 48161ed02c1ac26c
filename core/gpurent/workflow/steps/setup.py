"""Step: make the machine ready for the job.

The setup runs as a job of its own, so that a dropped connection cannot stop it.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.domain.session import Job, JobState, JobStatus
from gpurent.domain.terminal_text import strip_terminal
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, JobError, Spent
from gpurent.locale import _
from gpurent.ports.system import Platform
from gpurent.remote.setup_script import NO_CONDA_STATUS, make_setup_script
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.payments.budgets import Budgets, JobBudget
from gpurent.workflow.runtime.durable_steps import Timestamp, TripContext
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.steps.job_watch import JobWatcher

LOG_TAIL_LINES = 12


@frozen
class SetupLogs:
    settings: Settings
    platform: Platform

    def create_log(self, name: str) -> Path:
        """An empty file; the setup's output is read from its beginning each time."""
        path = self.platform.make_private_folder(self.settings.home / "logs") / f"{name}.log"
        path.write_bytes(b"")
        return path


@frozen
class SetupStep:
    """Environment, packages and the user's own commands, in the trip's folder."""

    plugins: Plugins
    runners: JobRunners
    watcher: JobWatcher
    budgets: Budgets
    logs: SetupLogs

    async def run_setup(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        limit: Money | None,
    ) -> Timestamp:
        """Run the setup once; its output is shown as it comes, and kept. A failure is a `JobError`."""

        async def run() -> Timestamp:
            command = make_setup_script(spec.job.setup, self.plugins.profile_of(connection.lease).python)
            job = Job(name=_setup_job_name(trip.id), command=command, folder=work_folder(trip.id))
            log = self.logs.create_log(job.name)

            def keep(chunk: bytes) -> None:
                with log.open("ab") as file:
                    file.write(chunk)

            budget = JobBudget(self.budgets, trip, limit)
            # The folder is missing as long as no file was uploaded.
            await connection.run_with_retry(lambda ssh: ssh.run(f"mkdir -p {shlex.quote(job.folder)}"))
            await self.runners.run_with_retry(
                connection, spec.job.session, lambda runner: runner.start_job(job)
            )
            end = await self.watcher.watch_job(connection, spec, job.name, budget.check_lease, on_output=keep)
            if end.status.state is not JobState.ENDED or end.status.exit_code:
                raise _setup_error(end.status, log)
            return Timestamp(at=end.at)

        return await trip.step(f"{leg}.setup", Timestamp, run)

    async def stop_setup(self, trip_id: str, connection: ReconnectingConnection, session: str) -> None:
        """End what `run_setup` began on a machine where it is of no more use; as far as that can be done."""
        with suppress(GpurentError):
            await self.runners.run_with_retry(
                connection, session, lambda runner: runner.stop_job(_setup_job_name(trip_id))
            )


def _setup_job_name(trip_id: str) -> str:
    return f"setup-{trip_id}"


def _setup_error(status: JobStatus, log: Path) -> JobError:
    text = strip_terminal(log.read_text("utf-8", "replace"))
    last = "\n".join(text.strip().split("\n")[-LOG_TAIL_LINES:])
    message = _("the setup failed with exit code {code}").format(code=status.exit_code)
    if status.state is not JobState.ENDED:
        message = _("the setup is no more and left no exit code")
    hints = [last, _("The whole output: {path}").format(path=log), _suggest_fix(status, text)]
    return JobError(message, hint="\n".join(filter(None, hints)), detail=last, spent=Spent.YES)


def _suggest_fix(status: JobStatus, text: str) -> str:
    if "externally-managed-environment" in text:
        return _("This system's own Python takes no packages; use conda instead, or a virtual environment.")
    if "No module named pip" in text:
        return _("pip is missing there; use conda instead, or let one of its commands bring the packages.")
    if status.exit_code == NO_CONDA_STATUS:
        return ""
    return _("Try it by hand on a machine that you keep: --on-error keep, then gpurent ssh LEASE")

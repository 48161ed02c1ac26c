"""Step: set up the machine for the job.

The setup runs as a job of its own, so that it continues if the connection drops.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from attrs import frozen

from gpurent.domain.job import Job, JobState, JobStatus
from gpurent.domain.machine_folders import find_own_folders
from gpurent.domain.money import Money
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, JobError, Spent
from gpurent.locale import _
from gpurent.locale.foreign_text import mark_lines
from gpurent.ports.system import Platform
from gpurent.remote.own_folders import make_own_folders_script
from gpurent.remote.setup_script import NO_CONDA_STATUS, make_setup_script
from gpurent.remote.shell import sh_command
from gpurent.terminal_text import strip_terminal
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.own_folders import check_own_folders
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.transfers import work_folder
from gpurent.workflow.runtime.durable_steps import Timestamp, TripContext
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.steps.job_limits import JobLimits
from gpurent.workflow.steps.job_watch import JobWatcher

LOG_TAIL_LINES = 12


@frozen
class SetupLogs:
    settings: Settings
    platform: Platform

    def create_log(self, name: str) -> Path:
        """Create or truncate the log file; the setup's output is always read from the beginning."""
        path = self.platform.make_private_folder(self.settings.data_folder / "logs") / f"{name}.log"
        path.write_bytes(b"")
        return path


@frozen
class SetupStep:
    """Installs the environment and packages and runs the user's own commands, in the trip's folder."""

    plugins: Plugins
    runners: JobRunners
    watcher: JobWatcher
    limits: JobLimits
    logs: SetupLogs

    async def run_setup(
        self,
        trip: TripContext,
        leg: str,
        connection: ReconnectingConnection,
        spec: TripSpec,
        limit: Money | None,
    ) -> Timestamp:
        """Run the setup once; show and log its output. Raises `JobError` if it fails."""

        async def run() -> Timestamp:
            command = make_setup_script(
                spec.job.setup, self.plugins.profile_of(await connection.get_lease()).python, trip.id
            )
            env = self.runners.variables.get_plain(spec.job)
            job = Job(
                name=setup_job_name(trip.id),
                command=command,
                folder=work_folder(trip.id, spec.upload),
                env=env,
            )
            log = self.logs.create_log(job.name)

            def keep(chunk: bytes) -> None:
                with log.open("ab") as file:
                    file.write(chunk)

            check = self.limits.make_check(trip, spec, limit)
            # The folder does not exist until files are uploaded.
            make = sh_command(make_own_folders_script(find_own_folders(job.folder)))
            check_own_folders(await connection.run_with_retry(lambda ssh: ssh.run(make)))
            await self.runners.run_with_retry(
                connection, spec.job.session, lambda runner: runner.start_job(job)
            )
            end = await self.watcher.watch_job(connection, spec, job.name, check, on_output=keep)
            if end.status.state is not JobState.ENDED or end.status.exit_code:
                raise _setup_error(end.status, log)
            return Timestamp(at=end.at)

        return await trip.step(f"{leg}.setup", Timestamp, run)

    async def stop_setup(self, trip_id: str, connection: ReconnectingConnection, session: str) -> None:
        """Stop the job that `run_setup` started, best effort, when its result is no longer needed."""
        with suppress(GpurentError):
            await self.runners.run_with_retry(
                connection, session, lambda runner: runner.stop_job(setup_job_name(trip_id))
            )


def setup_job_name(trip_id: str) -> str:
    """Return the name of the job that runs the trip's setup."""
    return f"setup-{trip_id}"


def _setup_error(status: JobStatus, log: Path) -> JobError:
    text = strip_terminal(log.read_text("utf-8", "replace"))
    last = "\n".join(text.strip().split("\n")[-LOG_TAIL_LINES:])
    message = _("setup failed with exit code {code}").format(code=status.exit_code)
    if status.state is not JobState.ENDED:
        message = _("the setup disappeared without an exit code")
    hints = [mark_lines(last), _("Full output: {path}").format(path=log), _suggest_fix(status, text)]
    return JobError(message, hint="\n".join(filter(None, hints)), detail=last, spent=Spent.YES)


def _suggest_fix(status: JobStatus, text: str) -> str:
    if "externally-managed-environment" in text:
        return _(
            "The system's own Python does not allow installing packages; use conda or a virtual "
            "environment instead."
        )
    if "No module named pip" in text:
        return _(
            "pip is missing on the machine; use conda instead, or install the packages with a setup command."
        )
    if status.exit_code == NO_CONDA_STATUS:
        return ""
    return _("Try it manually on a machine that you keep: --on-error keep, then gpurent ssh LEASE")

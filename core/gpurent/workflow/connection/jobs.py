"""Jobs on a machine: start, watch and stop them through a session backend; shells and commands on one lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from attrs import define, evolve, frozen

from gpurent.domain.job import Job, JobState, JobStatus, SessionInfo
from gpurent.domain.lease import Lease
from gpurent.domain.secret import Secret
from gpurent.domain.trip import JobSpec, TripSpec
from gpurent.errors import JobError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.remote import jobs as remote
from gpurent.remote.job_secrets import (
    DELIVERED_STATUS,
    DELIVERY_SECONDS,
    WAITING_STATUS,
    deliver_command,
    make_delivery,
)
from gpurent.remote.setup_script import make_environment_lines
from gpurent.remote.timer_script import CLOSING_STATUS
from gpurent.roles.entries import LauncherEntry, SessionEntry
from gpurent.roles.machine import SessionBackend
from gpurent.workflow.connection.job_variables import JobVariables
from gpurent.workflow.connection.own_folders import check_own_folders
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import poll_until

T = TypeVar("T")
# Timeouts in real seconds: for a session to start, and for its tool to be installed.
START_TIMEOUT = 15.0
INSTALL_TIMEOUT = 600.0
ATTEMPT_VARIABLE = "GPURENT_ATTEMPT"


@frozen(kw_only=True)
class ObservedJob:
    """The status of a job, and when it was observed (provider time)."""

    at: datetime
    status: JobStatus


@frozen
class JobRunners:
    """Selects the session backend and the launcher of a job, and reads its variables."""

    plugins: Plugins
    variables: JobVariables

    def make_runner(self, ssh: SshConnection, lease: Lease, session: str = "") -> JobRunner:
        """Return the job runner for the machine of ``lease``. ``session`` names the backend (empty: highest rank)."""
        entry = self.plugins.select_entry(SessionEntry, session)
        others = (other.name for other in self.plugins.ranked_entries(SessionEntry))
        return JobRunner(
            ssh,
            self.plugins.build(entry),
            self.plugins.profile_of(lease).install_prefix,
            tuple(name for name in others if name != entry.name),
        )

    async def run_with_retry(
        self,
        connection: ReconnectingConnection,
        session: str,
        action: Callable[[JobRunner], Awaitable[T]],
    ) -> T:
        """Run ``action`` over an open connection, and again if the connection drops; it must be idempotent."""

        async def run(ssh: SshConnection) -> T:
            return await action(self.make_runner(ssh, await connection.get_lease(), session))

        return await connection.run_with_retry(run)

    def make_command_line(self, job: JobSpec, lease: Lease) -> str:
        """Return the shell command line of the job, as built by its launcher."""
        launcher = self.plugins.build(self.plugins.select_entry(LauncherEntry, job.launcher))
        return launcher.launch_command(job.command, self.plugins.profile_of(lease))

    def make_job(self, spec: TripSpec, lease: Lease, trip_id: str, folder: str) -> Job:
        """Return the trip's job, with its command prefixed by the activation of the trip's environment."""
        command = make_environment_lines(spec.job.setup) + self.make_command_line(spec.job, lease)
        env = {**self.variables.get_plain(spec.job), ATTEMPT_VARIABLE: str(spec.attempt)}
        return Job(name=spec.job.name or trip_id, command=command, folder=folder, env=env)

    def add_secrets(self, job: Job, spec: JobSpec) -> Job:
        """Return the job with the variables that are written nowhere; raises as `JobVariables.read_secret` does."""
        return evolve(job, secrets=self.variables.read_secret(spec))


@frozen
class JobRunner:
    """Runs jobs over one connection with one session backend.

    ``install_prefix`` is the machine's package install command. ``other_sessions`` names the other session backends.
    """

    ssh: SshConnection
    backend: SessionBackend
    install_prefix: str = ""
    other_sessions: tuple[str, ...] = ()

    async def start_job(self, job: Job) -> JobStatus:
        """Start ``job`` unless a job of that name exists, and return its status. Idempotent.

        Raises `JobError` if the session does not start, or does not take its secrets.
        """
        status = await self.get_status(job.name)
        if status.state is not JobState.ABSENT:
            if job.secrets and status.state is JobState.RUNNING:
                await self._deliver_secrets(job)
            return status
        await self._install_backend()
        await self._write_job_files(job)
        ran = await self.ssh.run(self.backend.start_command(job.name, f"{job.state_dir}/run.sh"))
        status = await poll_until(
            lambda: self.get_status(job.name),
            lambda status: status.state is not JobState.ABSENT,
            interval=0.1,
            timeout=START_TIMEOUT,
        )
        if status.state is JobState.ABSENT:
            said = ran.said
            raise JobError(
                _("session {name} did not start").format(name=job.name),
                detail=said[:500],
                hint="\n".join(
                    filter(
                        None,
                        (
                            _("The session backend reported: {said}").format(said=said[:200] or "-"),
                            self._suggest_another(),
                        ),
                    )
                ),
            )
        if job.secrets and status.state is JobState.RUNNING:
            await self._deliver_secrets(job)
        return status

    def _suggest_another(self) -> str:
        if not self.other_sessions:
            return ""
        return _("Try another session backend: --session {name}").format(name=self.other_sessions[0])

    async def _deliver_secrets(self, job: Job) -> None:
        """Hand the job its secrets, unless it has them; it waits for them before its command."""
        command, text = deliver_command(job.state_dir), make_delivery(job.secrets)
        ran = await self.ssh.run(command, input=text, timeout=DELIVERY_SECONDS)
        if ran.exit_status == WAITING_STATUS:  # two have written at once
            ran = await self.ssh.run(command, input=text, timeout=DELIVERY_SECONDS)
        if ran.exit_status != DELIVERED_STATUS:
            raise JobError(
                _("the job {name} did not take its secrets").format(name=job.name),
                hint=_("It waits for them. Try again, or stop it: gpurent stop LEASE {name}").format(
                    name=job.name
                ),
                detail=ran.stderr[:500],
            )

    async def _install_backend(self) -> None:
        if not (await self.ssh.run(self.backend.probe_command())).exit_status:
            return
        if not self.install_prefix:
            raise JobError(
                _("the session backend is missing on the machine and cannot be installed there"),
                hint=self._suggest_another(),
            )
        ran = await self.ssh.run(self.backend.install_command(self.install_prefix), timeout=INSTALL_TIMEOUT)
        if ran.exit_status or (await self.ssh.run(self.backend.probe_command())).exit_status:
            said = ran.said.rpartition("\n")[2][:200]
            raise JobError(
                _("the session backend could not be installed: {said}").format(said=said or ran.exit_status),
                hint=self._suggest_another(),
                detail=ran.said,
            )

    async def _write_job_files(self, job: Job) -> None:
        ran = await self.ssh.run(remote.write_script_command(job), input=Secret(remote.make_run_script(job)))
        if ran.exit_status == CLOSING_STATUS:
            raise JobError(
                _("the machine's timer is about to shut it down; no new jobs are started"),
                hint=_("Extend it: gpurent timer LEASE --extend 2h"),
            )
        check_own_folders(ran)
        if ran.exit_status:
            raise JobError(
                _("the job's files could not be written: {said}").format(said=ran.said[:200]),
                hint=_("Is the machine's disk full?")
                if not job.secrets
                else _("Is the machine's disk full, or can its home folder have no named pipes?"),
                detail=ran.said,
            )

    async def get_status(self, name: str) -> JobStatus:
        """Return the status of the job from its state files on the machine."""
        return remote.parse_status((await self.ssh.run(remote.status_command(name))).stdout)

    async def wait_for_early_exit(self, name: str, seconds: float) -> JobStatus:
        """Watch for ``seconds`` whether the job exits; on failure, add the end of its log as the reason."""
        status = await poll_until(
            lambda: self.get_status(name),
            lambda status: status.state is JobState.ENDED,
            interval=0.15,
            timeout=seconds,
        )
        if not status.exit_code:
            return status
        return remote.explain_end(status, (await self.ssh.run(remote.tail_command(name))).stdout)

    async def read_log(self, name: str, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Return up to ``limit`` bytes of the job's output from byte ``offset``; empty at the current end."""
        return remote.parse_log((await self.ssh.run(remote.log_command(name, offset, limit))).stdout)

    async def find_tail_offset(self, name: str, lines: int) -> int:
        """Return the byte at which the last ``lines`` of the job's output begin."""
        return remote.parse_tail_offset((await self.ssh.run(remote.tail_offset_command(name, lines))).stdout)

    async def list_sessions(self) -> Sequence[SessionInfo]:
        return self.backend.parse_sessions((await self.ssh.run(self.backend.list_command())).stdout)

    async def get_session(self, name: str) -> SessionInfo:
        found = [info for info in await self.list_sessions() if name in (info.name, info.id)]
        if not found:
            raise UsageError(
                _("no such session: {name}").format(name=name), hint=_("See: gpurent sessions LEASE")
            )
        return found[0]

    async def stop_job(self, name: str) -> None:
        """Stop the job, then its session; do nothing if there is none."""
        await self.ssh.run(remote.stop_command(name))
        for info in await self.list_sessions():
            if info.name == name:
                await self.ssh.run(self.backend.stop_command(info))


@define
class JobLog:
    """Follows the log of the job ``name``: passes each byte to ``show`` exactly once, in order.

    ``offset`` is the number of bytes already shown.
    """

    name: str
    show: Callable[[bytes], None]
    offset: int = 0

    async def read_new_output(self, runner: JobRunner) -> JobStatus:
        """Show all new output; return the job's status as of before. May be repeated after a dropped connection."""
        status = await runner.get_status(self.name)
        while chunk := await runner.read_log(self.name, self.offset):
            self.offset += len(chunk)
            self.show(chunk)
        return status

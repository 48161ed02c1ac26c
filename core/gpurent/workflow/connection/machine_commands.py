"""Commands on one lease: a shell, jobs, their sessions and logs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.job import Job, JobState, JobStatus, SessionInfo
from gpurent.domain.trip import JobSpec
from gpurent.errors import UsageError
from gpurent.locale import _, join_list
from gpurent.ports.connection import CommandResult
from gpurent.ports.store import TripStore
from gpurent.ports.terminal import Display
from gpurent.roles.shell_door import RESTORE_HOME, make_terminal_line
from gpurent.workflow.connection.jobs import JobLog, JobRunner, JobRunners
from gpurent.workflow.connection.reconnecting import Connections

# How often the log of a job is polled.
LOG_POLL_INTERVAL = timedelta(seconds=2)


@frozen
class MachineCommands:
    """Commands on one lease. Each call opens its own connection, reconnects if it drops, and closes it."""

    connections: Connections
    runners: JobRunners
    store: TripStore
    display: Display

    async def open_shell(self, lease_id: str, command: tuple[str, ...] = ()) -> int:
        """Run ``command`` (empty: a login shell) attached to this terminal and return its exit code. Never retried.

        One word is a line for the user's login shell; several are a program and its arguments, which no shell changes.
        """
        async with self.connections.connect_to_lease(lease_id) as connection:
            ssh = await connection.ensure_open()
            if len(command) > 1:
                script = f"{RESTORE_HOME}; {shlex.join(command)}"
                return await ssh.run_interactive(make_terminal_line(ssh.endpoint.user, script))
            return await ssh.run_interactive(command[0] if command else None)

    async def run_command(self, lease_id: str, command: str, *, timeout: float = 600.0) -> CommandResult:
        """Run ``command`` and return its complete output. Never retried."""
        async with self.connections.connect_to_lease(lease_id) as connection:
            return await (await connection.ensure_open()).run(command, timeout=timeout)

    async def start_job(self, lease_id: str, name: str, spec: JobSpec, folder: str) -> JobStatus:
        """Start the job ``spec`` under ``name``; return its status. A job of the same name is not started again."""
        lease, session = await self.connections.leases.get_lease(lease_id), spec.session
        line = self.runners.make_command_line(spec, lease)
        env = self.runners.variables.get_plain(spec)
        job = self.runners.add_secrets(Job(name=name, command=line, folder=folder, env=env), spec)
        async with self.connections.connect_to_lease(lease_id) as connection:
            await self.runners.run_with_retry(connection, session, lambda runner: runner.start_job(job))
            return await self.runners.run_with_retry(
                connection, session, lambda runner: runner.wait_for_early_exit(name, 1.0)
            )

    async def list_sessions(self, lease_id: str, session: str = "") -> Sequence[SessionInfo]:
        async with self.connections.connect_to_lease(lease_id) as connection:
            return await self.runners.run_with_retry(
                connection, session, lambda runner: runner.list_sessions()
            )

    async def attach_session(self, lease_id: str, name: str, session: str = "") -> int:
        """Attach this terminal to the session ``name`` (empty: the only session)."""
        async with self.connections.connect_to_lease(lease_id) as connection:
            chosen = await self.runners.run_with_retry(
                connection, session, lambda runner: _select_session(runner, name)
            )
            ssh = await connection.ensure_open()
            runner = self.runners.make_runner(ssh, await connection.get_lease(), session)
            connection.emit(
                EventKind.WAITING,
                _("to detach and leave it running: {keys}").format(keys=runner.backend.detach_hint()),
            )
            return await ssh.run_interactive(
                make_terminal_line(ssh.endpoint.user, runner.backend.attach_command(chosen))
            )

    async def show_log(
        self,
        lease_id: str,
        name: str,
        follow: bool,
        session: str = "",
        *,
        silent: bool = False,
        lines: int | None = None,
    ) -> JobStatus:
        """Show the job's output, unless ``silent``, and return its status; with ``follow``, until the job ends.

        ``lines``: of what there is now, only so many lines at its end.
        """
        log = JobLog(name or await self._get_job_name(lease_id), self.display.show_output)

        async with self.connections.connect_to_lease(lease_id) as connection:
            if lines is not None and not silent:
                log.offset = await self.runners.run_with_retry(
                    connection, session, lambda runner: runner.find_tail_offset(log.name, lines)
                )

            async def look(runner: JobRunner) -> JobStatus:
                return await (runner.get_status(log.name) if silent else log.read_new_output(runner))

            while True:
                status = await self.runners.run_with_retry(connection, session, look)
                if status.state is not JobState.RUNNING or not follow:
                    return status
                await self.connections.poller.pause(LOG_POLL_INTERVAL, 0.3)

    async def stop_job(self, lease_id: str, name: str, session: str = "") -> JobStatus:
        async with self.connections.connect_to_lease(lease_id) as connection:
            await self.runners.run_with_retry(connection, session, lambda runner: runner.stop_job(name))
            return await self.runners.run_with_retry(
                connection, session, lambda runner: runner.get_status(name)
            )

    async def _get_job_name(self, lease_id: str) -> str:
        """Return the job name of the trip that created the lease, or ``job`` if there is none."""
        lease = await self.connections.leases.get_lease(lease_id)
        jobs = [
            trip.spec.job.name or trip.id
            for trip in await self.store.list_trips(lease.id)
            if trip.spec.job.command
        ]
        return jobs[0] if jobs else "job"


async def _select_session(runner: JobRunner, name: str) -> SessionInfo:
    if name:
        return await runner.get_session(name)
    found = await runner.list_sessions()
    if len(found) != 1:
        raise UsageError(
            _("which session? ({many})").format(many=join_list(info.name for info in found))
            if found
            else _("no session is running on the machine")
        )
    return found[0]

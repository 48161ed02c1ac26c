"""Jobs on a machine: started, watched and ended by a session backend; shells and jobs of one lease on demand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import define, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.session import Job, JobState, JobStatus, SessionInfo
from gpurent.domain.terminal_text import strip_terminal
from gpurent.domain.trip import JobSpec, TripSpec
from gpurent.errors import JobError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import CommandResult, SshConnection
from gpurent.ports.store import TripStore
from gpurent.ports.terminal import Display
from gpurent.remote import jobs as remote
from gpurent.remote.setup_script import environment_lines
from gpurent.remote.timer_script import CLOSING
from gpurent.roles.entries import LauncherEntry, SessionEntry
from gpurent.roles.machine import SessionBackend
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import look_until

T = TypeVar("T")
# Real seconds for a session to begin, and for its tool to be installed.
START = 15.0
INSTALL = 600.0
# How often the log of a job is looked at.
POLL = timedelta(seconds=2)


@frozen(kw_only=True)
class SeenJob:
    """How a job stood, and when that was (provider time)."""

    at: datetime
    status: JobStatus


@frozen
class JobRunners:
    """Which session backend and which launcher a job has."""

    plugins: Plugins

    def on(self, ssh: SshConnection, lease: Lease, session: str = "") -> JobRunner:
        """The jobs on the machine of ``lease``; ``session`` names the backend, empty for the best."""
        backend = self.plugins.build(self.plugins.chosen(SessionEntry, session))
        return JobRunner(ssh, backend, self.plugins.profile_of(lease).install)

    async def do(
        self,
        connection: ReconnectingConnection,
        session: str,
        action: Callable[[JobRunner], Awaitable[T]],
    ) -> T:
        """``action`` by `on`, over an open connection; again after a drop, so it must be idempotent."""
        return await connection.do(lambda ssh: action(self.on(ssh, connection.lease, session)))

    def command_line(self, job: JobSpec, lease: Lease) -> str:
        """The shell line of the job's command, by its launcher."""
        launcher = self.plugins.build(self.plugins.chosen(LauncherEntry, job.launcher))
        return launcher.launch(job.command, self.plugins.profile_of(lease))

    def job_of(self, spec: TripSpec, lease: Lease, trip_id: str, folder: str) -> Job:
        """The trip's own job, in the environment that its setup makes."""
        command = environment_lines(spec.job.setup) + self.command_line(spec.job, lease)
        return Job(name=spec.job.name or trip_id, command=command, folder=folder)


@frozen
class JobRunner:
    """Bound to one connection and one session backend. ``install_prefix`` is the machine's package command."""

    ssh: SshConnection
    backend: SessionBackend
    install_prefix: str = ""

    async def start(self, job: Job) -> JobStatus:
        """Start ``job`` under its name, once: called again, from anywhere, it only says how the first start stands."""
        status = await self.status(job.name)
        if status.state is not JobState.ABSENT:
            return status
        await self._install_backend()
        await self._write(job)
        ran = await self.ssh.run(self.backend.start(job.name, f"{job.room}/run.sh"))
        status = await look_until(
            lambda: self.status(job.name),
            lambda status: status.state is not JobState.ABSENT,
            every=0.1,
            seconds=START,
        )
        if status.state is JobState.ABSENT:
            said = _words(ran)
            raise JobError(
                _("the session {name} did not begin").format(name=job.name),
                detail=said[:500],
                hint=_("The session tool said: {said}").format(said=said[:200] or "-"),
            )
        return status

    async def _install_backend(self) -> None:
        if not (await self.ssh.run(self.backend.probe())).status:
            return
        if not self.install_prefix:
            raise JobError(
                _("the session tool is missing on the machine, and nothing can be installed there")
            )
        ran = await self.ssh.run(self.backend.install(self.install_prefix), timeout=INSTALL)
        if ran.status or (await self.ssh.run(self.backend.probe())).status:
            said = _words(ran).rpartition("\n")[2][:200]
            raise JobError(
                _("the session tool could not be installed: {said}").format(said=said or ran.status),
                hint=_("Try another one: --session"),
                detail=said,
            )

    async def _write(self, job: Job) -> None:
        ran = await self.ssh.run(remote.write_command(job), input=remote.run_script(job))
        if ran.status == CLOSING:
            raise JobError(
                _("the machine's timer is about to shut it; nothing new starts"),
                hint=_("Give it more time: gpurent timer LEASE --extend 2h"),
            )
        if ran.status:
            said = strip_terminal(ran.err).strip()
            raise JobError(
                _("the job's files could not be written: {said}").format(said=said[:200]),
                hint=_("Is the machine's disk full?"),
                detail=said,
            )

    async def status(self, name: str) -> JobStatus:
        """How the job stands by its own files."""
        return remote.parse_status((await self.ssh.run(remote.status_command(name))).out)

    async def settle(self, name: str, seconds: float) -> JobStatus:
        """Look for ``seconds`` whether the job ends at once; if it failed, with the log's last words as the reason."""
        status = await look_until(
            lambda: self.status(name),
            lambda status: status.state is JobState.ENDED,
            every=0.15,
            seconds=seconds,
        )
        if not status.exit_code:
            return status
        return remote.explain_end(status, (await self.ssh.run(remote.tail_command(name))).out)

    async def log(self, name: str, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Up to ``limit`` bytes of the job's output from byte ``offset``; empty at its present end."""
        return remote.parse_log((await self.ssh.run(remote.log_command(name, offset, limit))).out)

    async def listing(self) -> Sequence[SessionInfo]:
        return self.backend.parse((await self.ssh.run(self.backend.listing())).out)

    async def session(self, name: str) -> SessionInfo:
        found = [info for info in await self.listing() if name in (info.name, info.id)]
        if not found:
            raise UsageError(
                _("no session is called {name}").format(name=name), hint=_("See: gpurent sessions LEASE")
            )
        return found[0]

    async def stop(self, name: str) -> None:
        """End the job, then its session; silent when there is none."""
        await self.ssh.run(remote.stop_command(name))
        for info in await self.listing():
            if info.name == name:
                await self.ssh.run(self.backend.stop(info))


def _words(ran: CommandResult) -> str:
    return strip_terminal(ran.err or ran.out).strip()


@define
class JobLog:
    """Of the job ``name``: each byte is given to ``show`` once, in order. ``offset``: the bytes that were shown."""

    name: str
    show: Callable[[bytes], None]
    offset: int = 0

    async def read_new(self, runner: JobRunner) -> JobStatus:
        """How the job stands, after all of its output until then was shown. It may be called again after a drop."""
        status = await runner.status(self.name)
        while chunk := await runner.log(self.name, self.offset):
            self.offset += len(chunk)
            self.show(chunk)
        return status


@frozen
class MachineCommands:
    """Each call opens a connection of its own, which is opened again when it is dropped, and closes it."""

    connections: Connections
    runners: JobRunners
    store: TripStore
    display: Display

    async def shell(self, given: str, command: str | None) -> int:
        """``command`` (None: a login shell) tied to this terminal; never repeated."""
        async with self.connections.visit_lease(given) as connection:
            return await (await connection.ssh()).run_interactive(command)

    async def ask(self, given: str, command: str, *, timeout: float = 600.0) -> CommandResult:
        """What ``command`` prints, whole; never repeated."""
        async with self.connections.visit_lease(given) as connection:
            return await (await connection.ssh()).run(command, timeout=timeout)

    async def start(
        self, given: str, name: str, command: tuple[str, ...], folder: str, launcher: str, session: str
    ) -> JobStatus:
        """Start ``command`` as the job ``name``; the same name never runs twice."""
        lease = self.connections.leases.find_lease(given)
        line = self.runners.command_line(JobSpec(command=command, launcher=launcher), lease)
        job = Job(name=name, command=line, folder=folder)
        async with self.connections.visit_lease(given) as connection:
            await self.runners.do(connection, session, lambda runner: runner.start(job))
            return await self.runners.do(connection, session, lambda runner: runner.settle(name, 1.0))

    async def sessions(self, given: str, session: str = "") -> Sequence[SessionInfo]:
        async with self.connections.visit_lease(given) as connection:
            return await self.runners.do(connection, session, lambda runner: runner.listing())

    async def attach(self, given: str, name: str, session: str = "") -> int:
        """This terminal in the session ``name``, empty for the only one."""
        async with self.connections.visit_lease(given) as connection:
            chosen = await self.runners.do(connection, session, lambda runner: _choose_session(runner, name))
            ssh = await connection.ssh()
            runner = self.runners.on(ssh, connection.lease, session)
            connection.emit(
                EventKind.WAITING, _("leave without ending it: {keys}").format(keys=runner.backend.hint())
            )
            return await ssh.run_interactive(runner.backend.attach(chosen))

    async def logs(
        self, given: str, name: str, follow: bool, session: str = "", *, silent: bool = False
    ) -> JobStatus:
        """The job's output to the user, unless ``silent``; with ``follow`` until it ends. How the job stands."""
        log = JobLog(name or self._job_of(given), self.display.show_output)

        async with self.connections.visit_lease(given) as connection:

            async def look(runner: JobRunner) -> JobStatus:
                return await (runner.status(log.name) if silent else log.read_new(runner))

            while True:
                status = await self.runners.do(connection, session, look)
                if status.state is not JobState.RUNNING or not follow:
                    return status
                await self.connections.poller.pause(POLL, 0.3)

    async def stop(self, given: str, name: str, session: str = "") -> JobStatus:
        async with self.connections.visit_lease(given) as connection:
            await self.runners.do(connection, session, lambda runner: runner.stop(name))
            return await self.runners.do(connection, session, lambda runner: runner.status(name))

    def _job_of(self, given: str) -> str:
        """The job of the trip that made the lease; ``job`` for what was started by hand."""
        lease = self.connections.leases.find_lease(given)
        jobs = [trip.spec.job.name or trip.id for trip in self.store.trips(lease.id) if trip.spec.job.command]
        return jobs[0] if jobs else "job"


async def _choose_session(runner: JobRunner, name: str) -> SessionInfo:
    if name:
        return await runner.session(name)
    found = await runner.listing()
    if len(found) != 1:
        many = ", ".join(info.name for info in found) or _("none")
        raise UsageError(_("which session? ({many})").format(many=many))
    return found[0]

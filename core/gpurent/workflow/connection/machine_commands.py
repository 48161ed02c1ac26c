"""Single legs by hand: files, shells and jobs on a lease, over a line that is taken up again when it is cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from gpurent.domain.events import EventKind
from gpurent.domain.session import Job, JobState, JobStatus, SessionInfo
from gpurent.domain.transfer import Pull, Push, TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.ports.connection import CommandResult, SshConnection
from gpurent.workflow.connection.jobs import command_line, jobs
from gpurent.workflow.connection.predial import push_at_once
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.steps.transfer_files import download

if TYPE_CHECKING:
    from gpurent.remote.jobs import Jobs

T = TypeVar("T")
POLL = timedelta(seconds=2)


class Hands:
    """Mixed into the service; every call opens its own line and closes it."""

    desk: Desk

    async def _on(self, given: str, action: Callable[[ReconnectingConnection], Awaitable[T]]) -> T:
        line = ReconnectingConnection(self.desk, self.desk.lease(given).id)
        try:
            await line.look()
            return await action(line)
        finally:
            await line.close()

    def _jobs(self, line: ReconnectingConnection, link: SshConnection, session: str) -> Jobs:
        return jobs(self.desk, link, line.lease, session)

    async def push(self, given: str, cargo: Push, transfer: str = "") -> TransferReport:
        line = ReconnectingConnection(self.desk, self.desk.lease(given).id)
        try:
            return await push_at_once(self.desk, line, cargo, transfer)
        finally:
            await line.close()

    async def pull(self, given: str, cargo: Pull, transfer: str = "") -> TransferReport:
        return await self._on(given, lambda line: download(self.desk, line, cargo, transfer))

    async def shell(self, given: str, command: str | None) -> int:
        """``command`` (None: a login shell) tied to this terminal; never repeated."""
        from gpurent.infra.ssh.terminal import interactive

        async def go(line: ReconnectingConnection) -> int:
            return await interactive(await line.link(), command)

        return await self._on(given, go)

    async def ask(self, given: str, command: str, *, timeout: float = 600.0) -> CommandResult:
        """What ``command`` says, whole; never repeated."""
        return await self._on(given, lambda line: self._asked(line, command, timeout))

    async def _asked(self, line: ReconnectingConnection, command: str, timeout: float) -> CommandResult:
        return await (await line.link()).run(command, timeout=timeout)

    async def start(
        self, given: str, name: str, command: tuple[str, ...], folder: str, launcher: str, session: str
    ) -> JobStatus:
        lease = self.desk.lease(given)
        want = TripSpec(provider=lease.provider, command=command, launcher=launcher)
        job = Job(name=name, command=command_line(self.desk, want, lease), folder=folder)

        async def go(line: ReconnectingConnection) -> JobStatus:
            await line.do(lambda link: self._jobs(line, link, session).start(job))
            return await line.do(lambda link: self._jobs(line, link, session).settle(name, 1.0))

        return await self._on(given, go)

    async def sessions(self, given: str, session: str = "") -> Sequence[SessionInfo]:
        return await self._on(
            given, lambda line: line.do(lambda link: self._jobs(line, link, session).listing())
        )

    async def attach(self, given: str, name: str, session: str = "") -> int:
        from gpurent.infra.ssh.terminal import interactive

        async def go(line: ReconnectingConnection) -> int:
            link = await line.link()
            runner = self._jobs(line, link, session)
            found = await runner.listing()
            if not name and len(found) == 1:
                chosen = found[0]
            elif name:
                chosen = await runner.session(name)
            else:
                many = ", ".join(info.name for info in found) or _("none")
                raise UsageError(_("which session? ({many})").format(many=many))
            self.desk.tell(
                EventKind.WAITING, _("leave without ending it: {keys}").format(keys=runner.leave_hint)
            )
            return await interactive(link, runner.attach_command(chosen))

        return await self._on(given, go)

    async def logs(
        self, given: str, name: str, follow: bool, session: str = "", *, silent: bool = False
    ) -> JobStatus:
        """The job's output to the user; with ``follow`` until it ends."""
        chosen = name or self._job_of(given)

        async def go(line: ReconnectingConnection) -> JobStatus:
            offset = 0
            while True:

                async def look(link: SshConnection, offset: int = offset) -> tuple[JobStatus, list[bytes]]:
                    runner, chunks = self._jobs(line, link, session), []
                    status = await runner.status(chosen)
                    while not silent and (chunk := await runner.log(chosen, offset)):
                        offset += len(chunk)
                        chunks.append(chunk)
                    return status, chunks

                status, chunks = await line.do(look)
                for chunk in chunks:
                    offset += len(chunk)
                    self.desk.ui.output(chunk)
                if not follow or status.state is not JobState.RUNNING:
                    return status
                await self.desk.pace(POLL, floor=0.3)

        return await self._on(given, go)

    def _job_of(self, given: str) -> str:
        """The job of the trip that made the lease; ``job`` for what was started by hand."""
        lease = self.desk.lease(given).id
        for row in self.desk.journal.trips():
            if row.lease == lease and row.want.command:
                return row.want.name or row.id
        return "job"

    async def stop(self, given: str, name: str, session: str = "") -> JobStatus:
        async def go(line: ReconnectingConnection) -> JobStatus:
            await line.do(lambda link: self._jobs(line, link, session).stop(name))
            return await line.do(lambda link: self._jobs(line, link, session).status(name))

        return await self._on(given, go)

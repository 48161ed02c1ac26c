"""Access from this computer to a machine: port forwarding and a notebook server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from attrs import define, field, frozen

from gpurent.domain.access import is_loopback
from gpurent.domain.events import EventKind
from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import JobError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import OpenConnection, PortPair, Tunnel, TunnelFactory
from gpurent.ports.services import SecretRegistry
from gpurent.remote import notebook as remote
from gpurent.workflow.connection.jobs import JobRunners
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.waiting import poll_until

T = TypeVar("T")
# Timeouts in real seconds: for a server to start, and for the program to be installed.
START_TIMEOUT = 60.0
INSTALL_TIMEOUT = 900.0


@frozen
class PortForwarder:
    connections: Connections
    make_tunnel: TunnelFactory

    @asynccontextmanager
    async def forward_ports(
        self, lease_id: str, ports: Sequence[PortPair], address: str
    ) -> AsyncIterator[PortForward]:
        """Forward all ``ports`` of one lease over one connection, listening locally on ``address``."""
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self.connections.connect_to_lease(lease_id))
            forward = PortForward(connection)
            await forward.connect()
            for pair in ports:
                tunnel = self.make_tunnel(pair, address, forward.connect, forward.report_error)
                stack.push_async_callback(tunnel.close)
                await tunnel.start()
                forward.tunnels.append(tunnel)
            yield forward


@define
class PortForward:
    connection: ReconnectingConnection
    tunnels: list[Tunnel] = field(factory=list)
    _connect_lock: asyncio.Lock = field(factory=asyncio.Lock)

    @property
    def local_ports(self) -> tuple[int, ...]:
        """The local ports, in the order of the given pairs."""
        return tuple(tunnel.port for tunnel in self.tunnels)

    async def keep_open(self) -> None:
        """Reconnect whenever the connection drops. Raises `LeaseGone` when the machine is gone."""
        while True:
            await (await self.connect()).wait_closed()

    async def connect(self) -> OpenConnection:
        async with self._connect_lock:
            return await self.connection.ensure_open()

    def report_error(self, why: str) -> None:
        """Report that one client could not be served."""
        self.connection.emit(EventKind.WARNING, why)


def browser_host(address: str) -> str:
    """Return the host under which a browser on this computer reaches ``address``."""
    if address in ("", "0.0.0.0", "::"):  # noqa: S104 - what was asked for
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


def exposure_warning(address: str) -> str:
    """Return a warning if others can connect through ``address``; empty for loopback."""
    if is_loopback(address):
        return ""
    return _("Anyone who can reach this computer at {address} can connect.").format(address=address)


@frozen(kw_only=True)
class NotebookServer:
    """A running notebook server: ``port`` on the machine's loopback interface, ``app`` is lab or notebook.

    ``fresh`` is true if it was started just now.
    """

    job: str
    app: str
    port: int
    token: Secret
    fresh: bool

    def url(self, host: str, port: int) -> str:
        """Return the URL with the token; anyone who has it can run code on the machine."""
        place = "lab" if self.app == "lab" else "tree"
        return f"http://{host}:{port}/{place}?token={self.token.reveal()}"


@frozen
class NotebookServers:
    """Manages the notebook servers of leases. Their tokens are registered with ``secret_registry``."""

    connections: Connections
    runners: JobRunners
    plugins: Plugins
    questions: Questions
    secret_registry: SecretRegistry

    async def start_server(
        self, lease_id: str, *, session: str = "", install: bool = False
    ) -> NotebookServer:
        """Return the running server, or start one.

        A missing program is installed after asking the user; ``install`` means that consent was already given.
        """
        async with self.connections.connect_to_lease(lease_id) as connection:
            servers = _NotebookJobs(connection, self.runners, session)
            name = await servers.find_running()
            app = await servers.find_app()
            if not name:
                if not app:
                    await self._require_consent(connection, install)
                    app = await servers.install_jupyter(
                        self.plugins.profile_of(await connection.get_lease()).python
                    )
                name = await servers.start_server(app)
                found = await servers.wait_for_server(name, app, fresh=True)
            else:
                found = await servers.wait_for_server(name, app or "lab", fresh=False)
        self.secret_registry.register_secret(found.token)
        return found

    async def stop_server(self, lease_id: str, session: str = "") -> str:
        """Stop the running server; return the name of its job, or an empty string if none was running."""
        async with self.connections.connect_to_lease(lease_id) as connection:
            servers = _NotebookJobs(connection, self.runners, session)
            name = await servers.find_running()
            if name:
                await self.runners.run_with_retry(connection, session, lambda runner: runner.stop_job(name))
        return name

    async def _require_consent(self, connection: ReconnectingConnection, agreed: bool) -> None:
        question = Question(
            id=f"install:jupyter:{connection.lease_id}",
            kind=QuestionKind.CHOICE,
            text=_("jupyter is not installed on the machine. Install JupyterLab there with pip?"),
        )
        if not agreed and not await self.questions.confirm(question):
            raise UsageError(
                _("jupyter is not installed on the machine"),
                hint=_("Let gpurent install it: --install"),
            )


@frozen
class _NotebookJobs:
    connection: ReconnectingConnection
    runners: JobRunners
    session: str

    async def find_running(self) -> str:
        """Return the job name of the running server, or an empty string."""
        for number in sorted(await self._list_numbers(), reverse=True):
            name = remote.job_name(number)
            if await self._is_running(name):
                return name
        return ""

    async def _is_running(self, name: str) -> bool:
        status = await self.runners.run_with_retry(
            self.connection, self.session, lambda runner: runner.get_status(name)
        )
        return status.state is JobState.RUNNING

    async def find_app(self) -> str:
        """Return ``lab`` or ``notebook``, or an empty string if neither is installed."""
        return await self._run_and_parse(remote.find_app_command(), remote.parse_app)

    async def install_jupyter(self, python: str) -> str:
        """Install JupyterLab with the interpreter ``python``; return the app that is available now."""
        self.connection.emit(EventKind.WAITING, _("installing JupyterLab; this takes a few minutes"))
        command = remote.install_command(python)
        ran = await self.connection.run_with_retry(lambda ssh: ssh.run(command, timeout=INSTALL_TIMEOUT))
        if ran.exit_status:
            said = ran.said
            raise JobError(
                _("JupyterLab could not be installed: {said}").format(said=said.rpartition("\n")[2][:200]),
                detail=said[-1000:],
            )
        app = await self.find_app()
        if not app:
            raise JobError(_("jupyter was installed but does not start on the machine"))
        return app

    async def start_server(self, app: str) -> str:
        """Start a new server and return the name of its job."""
        number = max(await self._list_numbers(), default=0) + 1
        job = remote.make_server_job(number, app, secrets.token_hex(24))
        await self.runners.run_with_retry(self.connection, self.session, lambda runner: runner.start_job(job))
        return job.name

    async def wait_for_server(self, name: str, app: str, *, fresh: bool) -> NotebookServer:
        """Wait for the server's runtime file, which contains the port and the token."""

        async def look() -> tuple[int, str] | JobStatus:
            found = await self._run_and_parse(remote.read_runtime_command(name), remote.parse_runtime)
            if found is not None:
                return found
            return await self.runners.run_with_retry(
                self.connection, self.session, lambda runner: runner.wait_for_early_exit(name, 0)
            )

        def is_settled(seen: tuple[int, str] | JobStatus) -> bool:
            return not isinstance(seen, JobStatus) or seen.state is not JobState.RUNNING

        seen = await poll_until(look, is_settled, interval=0.5, timeout=START_TIMEOUT)
        if isinstance(seen, JobStatus):
            raise JobError(
                _("jupyter did not start: {reason}").format(reason=seen.reason or seen.state.title),
                hint=_("See: gpurent logs {lease} {name}").format(lease=self.connection.lease_id, name=name),
            )
        port, token = seen
        return NotebookServer(job=name, app=app, port=port, token=Secret(token), fresh=fresh)

    async def _list_numbers(self) -> list[int]:
        return await self._run_and_parse(remote.list_numbers_command(), remote.parse_numbers)

    async def _run_and_parse(self, command: str, parse: Callable[[str], T]) -> T:
        return parse((await self.connection.run_with_retry(lambda ssh: ssh.run(command))).stdout)

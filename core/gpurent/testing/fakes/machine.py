"""A rented machine without SSH: a home folder of its own and the local shell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

from attrs import define, evolve, field

from gpurent.domain.access import Endpoint
from gpurent.errors import UnavailableError
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.machine_folders import MachineFolders
from gpurent.testing.sandbox.machines.authorized_keys import add_authorized_keys
from gpurent.testing.sandbox.machines.model import MachineSpec


@define(eq=False, kw_only=True)
class FakeMachine:
    """A fake machine; `connect` returns what core uses of a machine, a `gpurent.ports.connection.SshConnection`.

    Commands run in the host's ``sh`` in `home`, in process groups of their own; `kill` ends them all, detached ones
    too. There is no isolation from the host: run nothing in it that you would not run yourself. Nothing is written
    before the first `connect`.

    Faults that can be set at any time: `cut_connections`, `kill`, ``silent`` (commands get no response), ``noise``
    (what shell start-up files print before every output), ``delay`` (how long each command takes on ``clock``, where it
    can time out), ``disk_full`` (writing to a file fails, with EFBIG instead of ENOSPC), and the ``missing`` programs
    in `spec`.
    """

    root: Path
    """Folder of its disk; several machines may share it."""
    spec: MachineSpec
    id: str = "fake"
    host: str = "127.0.0.1"
    port: int = 22
    clock: ManualClock = field(factory=lambda: ManualClock(eager=True))
    on_stop: Callable[[str], Awaitable[None]] | None = None
    noise: str = ""
    delay: timedelta = timedelta()
    silent: bool = False
    disk_full: bool = False
    ended: asyncio.Event = field(factory=asyncio.Event, repr=False)
    """Set when the machine is off."""
    commands: list[str] = field(factory=list)
    """All commands that were run, in order."""
    connections: set[FakeConnection] = field(factory=set, repr=False)
    _folders: MachineFolders | None = field(default=None, repr=False)
    _shutdown: asyncio.Future[None] | None = None

    @property
    def alive(self) -> bool:
        return not self.ended.is_set()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.spec.user, self.host, self.port)

    @property
    def home(self) -> Path:
        """The home folder on this computer."""
        return self.folders.disk.home

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables of every command."""
        return self.folders.environment

    @property
    def folders(self) -> MachineFolders:
        """The machine's folders on this computer; made on first use."""
        if self._folders is None:
            self._folders = MachineFolders.make(self.root, self.spec)
        return self._folders

    def add_authorized_key(self, line: str) -> None:
        """Add a line to the user's authorized_keys file; `spec` has them all. Connecting needs none of them."""
        self.spec = evolve(self.spec, authorized_keys=(*self.spec.authorized_keys, line))
        if self._folders is not None:
            add_authorized_keys(self._folders.disk.home, [line])

    async def connect(self) -> FakeConnection:
        """Return an open connection.

        Raises a retryable `UnavailableError` if the machine is off, as for a refused connection.
        """
        if not self.alive:
            raise UnavailableError(f"{self.endpoint}: connection refused", retryable=True)
        self.folders.listen_for_stop(self.stop)
        made = FakeConnection(self)
        self.connections.add(made)
        return made

    def cut_connections(self) -> int:
        """Cut every open connection at once; processes keep running. Return how many were open."""
        lost = [line for line in self.connections if line.is_alive]
        for line in lost:
            line.cut()
        return len(lost)

    async def kill(self) -> None:
        """Power off: every process ends, connections are lost, the disk stays. Idempotent."""
        self.ended.set()
        self.cut_connections()
        if self._shutdown is None:
            self._shutdown = asyncio.ensure_future(self._shut_down())
        await asyncio.shield(self._shutdown)

    async def _shut_down(self) -> None:
        folders, self._folders = self._folders, None
        if folders is not None:
            await folders.remove()

    async def stop(self) -> None:
        """Do what a stop script does: await ``on_stop``, then power off."""
        try:
            if self.alive and self.on_stop is not None:
                await self.on_stop(self.id)
        finally:
            await self.kill()

"""A rented machine without SSH: a HOME of its own, and the local shell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.errors import UnavailableError
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.machine_folders import MachineFolders
from gpurent.testing.sandbox.machines.model import MachineSpec


@define(eq=False, kw_only=True)
class FakeMachine:
    """``connect`` gives what core has of a machine: a `gpurent.ports.connection.SshConnection`.

    Commands run by the host's ``sh`` in `home`, in process groups of their own; `kill` ends all of them, detached ones
    too. No wall stands between them and the host: run nothing in it that you would not run yourself. Nothing is
    written before the first `connect`.

    What can be made to go wrong, at any time: `cut`, `kill`, ``silent`` (nothing is answered any more), ``noise`` (what
    start files print in front of every output), ``delay`` (each command takes so long on ``clock``, and runs into its
    time limit there), ``disk_full`` (writing to a file fails, with EFBIG in place of ENOSPC), and in `spec`
    the ``missing`` programs.
    """

    root: Path
    """Where its disk lies; several machines may share it."""
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
    """Set when the power is gone."""
    commands: list[str] = field(factory=list)
    """Everything that was run, in order."""
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
        """The login folder, as this computer sees it."""
        return self.folders.disk.home

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of every command."""
        return self.folders.environment

    @property
    def folders(self) -> MachineFolders:
        """Where it lies on this computer; made on first use."""
        if self._folders is None:
            self._folders = MachineFolders.make(self.root, self.spec)
        return self._folders

    async def connect(self) -> FakeConnection:
        """An open line. The machine is off: a retryable `UnavailableError`, as when nobody listens there."""
        if not self.alive:
            raise UnavailableError(f"{self.endpoint}: connection refused", retryable=True)
        self.folders.listen_for_stop(self.stop)
        made = FakeConnection(self)
        self.connections.add(made)
        return made

    def cut_connections(self) -> int:
        """Lose every open line at once; what runs runs on. Returns how many there were."""
        lost = [line for line in self.connections if line.is_alive]
        for line in lost:
            line.cut()
        return len(lost)

    async def kill(self) -> None:
        """Power off: every process ends at once, the lines are lost, the disk stays. Idempotent."""
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
        """What a stop script in the machine does: ``on_stop`` is awaited, then the power goes."""
        try:
            if self.alive and self.on_stop is not None:
                await self.on_stop(self.id)
        finally:
            await self.kill()

"""The machines of a simulated provider: booted at once, and real only when somebody connects."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Self

from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.errors import UnavailableError
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.sandbox.machines.disks import DiskStore, remove_tree
from gpurent.testing.sandbox.machines.model import BootFailed, DiskInUse, MachineSpec

_FIRST_PORT = 20001


@define(kw_only=True)
class FakeMachines:
    """Implements `gpurent.roles.simulator.Machines` with a `FakeMachine` for each.

    ``disks`` are the keys that hold data, ``erased`` those that were deleted; a disk carries one machine at a time.
    The next ``boot_failures`` boots fail. ``root`` is where the disks lie, by default a temporary folder. Close it at
    the end (`aclose`, or ``async with``) if anything was connected to.
    """

    clock: ManualClock = field(factory=lambda: ManualClock(eager=True))
    root: Path = field(factory=lambda: Path(tempfile.gettempdir()) / f"gpurent-{secrets.token_hex(6)}")
    disks: set[str] = field(factory=set)
    erased: list[str] = field(factory=list)
    booted: list[FakeMachine] = field(factory=list)
    """Every machine that ever was, in order."""
    boot_failures: int = 0

    @property
    def alive_machines(self) -> dict[str, FakeMachine]:
        """Those that are on, by id."""
        return {machine.id: machine for machine in self.booted if machine.alive}

    @property
    def only_machine(self) -> FakeMachine:
        """The one machine that is on."""
        (machine,) = self.alive_machines.values()
        return machine

    async def boot(
        self,
        *,
        user: str,
        password: str,
        hostname: str,
        data: str,
        python: Literal["python3", "python2"] = "python3",
        stop_scripts: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        disk_bytes: int | None = None,
        on_stop: Callable[[str], Awaitable[None]] | None = None,
    ) -> FakeMachine:
        """Raises `DiskInUse`, or `BootFailed` where the test wants it to."""
        if self.boot_failures:
            self.boot_failures -= 1
            raise BootFailed("no room for another machine")
        if any(machine.spec.data == data for machine in self.alive_machines.values()):
            raise DiskInUse(f"a machine lives on the disk {data!r}")
        spec = MachineSpec(
            user=user,
            password=password,
            hostname=hostname,
            data=data,
            python=python,
            stop_scripts=stop_scripts,
            missing=missing,
            disk_bytes=disk_bytes,
        )
        number = len(self.booted)
        made = FakeMachine(
            root=self.root,
            spec=spec,
            id=f"m{number + 1}",
            port=_FIRST_PORT + number,
            clock=self.clock,
            on_stop=on_stop,
        )
        self.booted.append(made)
        self.disks.add(data)
        return made

    async def kill(self, machine_id: str) -> None:
        machine = self.alive_machines.get(machine_id)
        if machine is not None:
            await machine.kill()

    async def delete_disk(self, data: str) -> None:
        self.erased.append(data)
        self.disks.discard(data)
        if self.root.exists():
            DiskStore(self.root / "disks").erase_disk(data)

    async def connect(self, endpoint: Endpoint) -> FakeConnection:
        """A line to the machine at ``endpoint``; none there: a retryable `UnavailableError`."""
        for machine in self.alive_machines.values():
            if (machine.host, machine.port) == (endpoint.host, endpoint.port):
                return await machine.connect()
        raise UnavailableError(f"{endpoint}: connection refused", retryable=True)

    async def aclose(self) -> None:
        for machine in self.booted:
            await machine.kill()
        remove_tree(self.root)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_what: object) -> None:
        await self.aclose()

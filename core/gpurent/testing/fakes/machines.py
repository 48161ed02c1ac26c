"""The machines of a simulator: booted at once, with processes and files only after a connection."""

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
from gpurent.testing.sandbox.local_ports import find_free_port
from gpurent.testing.sandbox.machines.disks import DiskStore, remove_tree
from gpurent.testing.sandbox.machines.model import BootFailed, DiskInUse, MachineSpec, check_key_line

_FIRST_PORT = 20001


@define(kw_only=True)
class FakeMachines:
    """Fake machines; implements `gpurent.roles.simulator.SandboxMachines` with a `FakeMachine` for each.

    ``disks`` are the keys that hold data, ``erased`` those that were deleted; one machine at a time can use a disk.
    ``boot_failures`` is how many of the next boots fail. ``root`` is the folder of the disks, by default a temporary
    folder. If anything was connected to, close it at the end (`aclose`, or ``async with``).
    """

    clock: ManualClock = field(factory=lambda: ManualClock(eager=True))
    root: Path = field(factory=lambda: Path(tempfile.gettempdir()) / f"gpurent-{secrets.token_hex(6)}")
    disks: set[str] = field(factory=set)
    erased: list[str] = field(factory=list)
    booted: list[FakeMachine] = field(factory=list)
    """All machines ever booted, in order."""
    boot_failures: int = 0

    @property
    def alive_machines(self) -> dict[str, FakeMachine]:
        """The machines that are on, by id."""
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
        password: str = "",
        hostname: str,
        data: str,
        authorized_keys: tuple[str, ...] = (),
        port: int = 0,
        python: Literal["python3", "python2"] = "python3",
        stop_scripts: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        disk_bytes: int | None = None,
        on_stop: Callable[[str], Awaitable[None]] | None = None,
    ) -> FakeMachine:
        """Boot a machine. Raises `DiskInUse`, or `BootFailed` if ``boot_failures`` is set."""
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
            authorized_keys=authorized_keys,
            port=port,
        )
        number = len(self.booted)
        made = FakeMachine(
            root=self.root,
            spec=spec,
            id=f"m{number + 1}",
            port=port or _FIRST_PORT + number,
            clock=self.clock,
            on_stop=on_stop,
        )
        self.booted.append(made)
        self.disks.add(data)
        return made

    def find_free_port(self) -> int:
        return find_free_port()

    async def add_authorized_key(self, machine_id: str, line: str) -> None:
        check_key_line(line)
        machine = self.alive_machines.get(machine_id)
        if machine is not None:
            machine.add_authorized_key(line)

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
        """Return a connection to the machine at ``endpoint``.

        Raises a retryable `UnavailableError` if there is none.
        """
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

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.aclose()

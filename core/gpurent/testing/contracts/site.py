"""A machine of the sandbox and a line to it, as core would open it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.testing.sandbox.machines import Machine, MachineSpec, pick_driver

if TYPE_CHECKING:
    from gpurent.infra.ssh.client import Ssh
    from gpurent.infra.ssh.connection import AsyncsshConnection
    from gpurent.testing.sandbox.machines import DriverName

PASSWORD = "open sesame"


@define
class Tally:
    """A progress that counts."""

    files: int = 0
    size: int = 0
    moved: int = 0
    done: list[str] = field(factory=list)

    def total(self, files: int, size: int) -> None:
        self.files, self.size = files, size

    def advance(self, size: int, name: str = "") -> None:
        self.moved += size

    def file_done(self, name: str) -> None:
        self.done.append(name)


@define
class Site:
    """One machine, one lease's key; ``home`` is its home as this computer sees it, where it can."""

    machine: Machine
    ssh: Ssh
    home: Path
    _links: list[AsyncsshConnection] = field(factory=list)

    async def link(self) -> AsyncsshConnection:
        """A fresh line; the earlier ones stay as they are."""
        endpoint = Endpoint(self.machine.spec.user, self.machine.host, self.machine.port)
        made: AsyncsshConnection = await self.ssh.open("lease", endpoint, Secret(PASSWORD))
        self._links.append(made)
        return made

    async def close(self) -> None:
        for link in self._links:
            await link.aclose()


@asynccontextmanager
async def site(root: Path, driver: DriverName = "embedded", **changes: Any) -> AsyncIterator[Site]:
    """A machine that is gone at the end."""
    from gpurent.infra.ssh.client import Ssh

    drivers = await pick_driver(driver, root / "sandbox")
    try:
        given = {"user": "mist", "password": PASSWORD, "hostname": "gpu28", "data": "lab/42", **changes}
        machine = await drivers.boot(MachineSpec(**given))
        (home,) = (root / "sandbox" / "disks").glob("*/home")
        made = Site(machine, Ssh(root / "ssh"), home)
        try:
            yield made
        finally:
            await made.close()
    finally:
        await drivers.close()

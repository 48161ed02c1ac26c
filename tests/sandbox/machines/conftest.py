"""Every test here runs against every driver that works on this computer."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import psutil
import pytest
from attrs import evolve, frozen

from gpurent.testing.sandbox.machines import Machine, MachineDriver, MachineSpec, pick_driver, why_not_bwrap

SPEC = MachineSpec(user="mist", password="open sesame", hostname="gpu28", data="lab/42")


@frozen
class Lab:
    """A driver, and the ways in which the tests use machines."""

    driver: MachineDriver

    async def boot(self, on_stop: Callable[[str], Awaitable[None]] | None = None, **changes: Any) -> Machine:
        return await self.driver.boot(evolve(SPEC, **changes), on_stop)

    async def connect(self, machine: Machine, **options: Any) -> asyncssh.SSHClientConnection:
        """Log in by password, with the host key pinned and nothing of the caller's own SSH settings."""
        known = f"[{machine.host}]:{machine.port} {machine.host_key}".encode()
        given = {"username": machine.spec.user, "password": machine.spec.password, "client_keys": None}
        return await asyncssh.connect(
            machine.host, machine.port, known_hosts=known, config=None, agent_path=None, **(given | options)
        )

    @asynccontextmanager
    async def login(self, machine: Machine, **options: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
        connection = await self.connect(machine, **options)
        try:
            yield connection
        finally:
            connection.abort()
            await connection.wait_closed()

    async def run(self, machine: Machine, command: str, **options: Any) -> asyncssh.SSHCompletedProcess:
        async with self.login(machine) as connection:
            return await asyncio.wait_for(connection.run(command, **options), 20)

    async def output(self, machine: Machine, command: str) -> str:
        """Standard output of a command that must succeed."""
        done = await self.run(machine, command)
        assert done.exit_status == 0, (done.exit_status, done.stdout, done.stderr)
        return str(done.stdout)


@frozen
class Brand:
    """A word that a process has for its name (``exec -a``), to find it from outside."""

    word: str

    def alive(self) -> list[int]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] == [self.word] and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found


async def eventually(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true value, asked again and again; fails when it never comes."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return value


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[Any]]:
    return eventually


@pytest.fixture
def brand() -> Brand:
    return Brand(f"brand-{os.getpid()}-{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
def bwrap_trouble() -> str:
    """Why bubblewrap machines cannot run here; empty when they can."""
    return asyncio.run(why_not_bwrap())


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
def driver_name(request: pytest.FixtureRequest, bwrap_trouble: str) -> str:
    if request.param == "bwrap" and bwrap_trouble:
        pytest.skip(bwrap_trouble)
    return str(request.param)


@pytest.fixture
async def make_lab(driver_name: Any, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Lab]]]:
    """Makes drivers over one and the same state folder."""
    made: list[Lab] = []

    async def make() -> Lab:
        made.append(Lab(await pick_driver(driver_name, tmp_path / "sandbox")))
        return made[-1]

    yield make
    for lab in made:
        await lab.driver.close()


@pytest.fixture
async def lab(make_lab: Callable[[], Awaitable[Lab]]) -> Lab:
    return await make_lab()

"""A machine driver for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncssh
import psutil
from attrs import evolve, frozen

from gpurent.testing.sandbox.machines import BootedMachine, MachineDriver, MachineSpec

Eventually = Callable[..., Awaitable[Any]]
SPEC = MachineSpec(user="mist", password="open sesame", hostname="gpu28", data="lab/42")


class CompletedCommand(Protocol):
    """The result of a command, as text, or as bytes if no encoding was requested."""

    stdout: Any
    stderr: Any
    exit_status: int | None
    exit_signal: Any


@frozen
class DriverFixture:
    """A driver and the ways in which tests use its machines."""

    driver: MachineDriver

    async def boot(
        self, on_stop: Callable[[str], Awaitable[None]] | None = None, **changes: Any
    ) -> BootedMachine:
        return await self.driver.boot(evolve(SPEC, **changes), on_stop)

    async def connect(self, machine: BootedMachine, **options: Any) -> asyncssh.SSHClientConnection:
        """Log in by password, with the host key pinned and nothing of the caller's own SSH settings."""
        known = f"[{machine.host}]:{machine.port} {machine.host_key}".encode()
        connect_options = {
            "username": machine.spec.user,
            "password": machine.spec.password,
            "client_keys": None,
        }
        return await asyncssh.connect(
            machine.host,
            machine.port,
            known_hosts=known,
            config=None,
            agent_path=None,
            **(connect_options | options),
        )

    @asynccontextmanager
    async def open_connection(
        self, machine: BootedMachine, **options: Any
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        connection = await self.connect(machine, **options)
        try:
            yield connection
        finally:
            connection.abort()
            await connection.wait_closed()

    async def run_command(self, machine: BootedMachine, command: str, **options: Any) -> CompletedCommand:
        async with self.open_connection(machine) as connection:
            return await asyncio.wait_for(connection.run(command, **options), 20)

    async def read_output(self, machine: BootedMachine, command: str) -> str:
        """Return the standard output of a command that must succeed."""
        done = await self.run_command(machine, command)
        assert done.exit_status == 0, (done.exit_status, done.stdout, done.stderr)
        return str(done.stdout)


@frozen
class ProcessMark:
    """A name given to a process (``exec -a``), to find it from outside."""

    word: str

    def list_alive(self) -> list[int]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] == [self.word] and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found


async def wait_for_value(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Poll until the value is true and return it; fail after ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return value


MakeLab = Callable[[], Awaitable[DriverFixture]]

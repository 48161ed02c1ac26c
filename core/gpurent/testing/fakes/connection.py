"""An open connection to a fake machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import frozen

from gpurent.child_processes import PIPE, start_program
from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import RemoteError, UnavailableError, UsageError
from gpurent.ports.connection import CommandResult, TerminalLine
from gpurent.roles.shell_door import MAX_OUTPUT_BYTES
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.machine_folders import MachineFolders
from gpurent.testing.fakes.virtual_time import real_time
from gpurent.testing.sandbox.machines.descriptors import AsyncDescriptor

if TYPE_CHECKING:
    from gpurent.child_processes import StartedProgram

T = TypeVar("T")


class ConnectedMachine(Protocol):
    """What a connection needs of its machine, a `gpurent.testing.fakes.machine.FakeMachine`."""

    noise: str
    delay: timedelta
    silent: bool
    disk_full: bool
    clock: ManualClock
    commands: list[str]
    connections: set[FakeConnection]

    @property
    def endpoint(self) -> Endpoint: ...

    @property
    def folders(self) -> MachineFolders: ...


_DISK_FULL_PREFIX = "ulimit -f 0; trap '' XFSZ; "
"""Prefix for a command that makes every write to a file fail, as on a full disk."""


class FakeConnection:
    """A connection to a fake machine; implements `gpurent.ports.connection.OpenConnection`.

    Passes `contracts.connection.ConnectionContract`.
    """

    def __init__(self, machine: ConnectedMachine) -> None:
        self._machine = machine
        self._closed = asyncio.Event()

    @property
    def endpoint(self) -> Endpoint:
        return self._machine.endpoint

    @property
    def transport(self) -> object:
        """Raises `UsageError`: a fake machine has no SSH. Code that speaks SSH itself needs a sandbox machine."""
        raise UsageError("a fake machine speaks no SSH", hint="Use gpurent.testing.ssh_fixture instead.")

    @property
    def key_file(self) -> Path:
        """A path in the machine's runtime folder; there is no key file."""
        return self._machine.folders.runtime_folder / "key"

    @property
    def known_hosts(self) -> Path:
        """A path in the machine's runtime folder; there is no such file."""
        return self._machine.folders.runtime_folder / "known_hosts"

    @property
    def is_alive(self) -> bool:
        return not self._closed.is_set()

    @property
    def is_session_limited(self) -> bool:
        return False

    def reopen_session(
        self, refusal: Exception, start: Callable[[Any], Awaitable[T]]
    ) -> contextlib.AbstractAsyncContextManager[T]:
        """Raises ``refusal``: see `transport`."""
        raise refusal

    def cut(self) -> None:
        """Cut the connection; processes on the machine keep running."""
        self._closed.set()
        self._machine.connections.discard(self)

    async def close(self) -> None:
        self.cut()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def run_interactive(self, command: TerminalLine | str | None) -> int:
        """Raises `UsageError`: a fake machine has no terminal."""
        raise UsageError("a fake machine has no terminal", hint="Use gpurent.testing.ssh_fixture instead.")

    async def run(
        self,
        command: str,
        *,
        input: str | Secret = "",  # noqa: A002 - as in subprocess
        timeout: float = 60.0,
    ) -> CommandResult:
        """Run ``command`` with ``sh`` in the home folder; see the port.

        ``timeout`` is in real seconds, except while ``delay`` passes.
        """
        self._check_alive()
        self._machine.commands.append(command)
        await self._wait_for_delay(timeout)
        if self._machine.disk_full:
            command = _DISK_FULL_PREFIX + command
        with real_time():
            text = input.reveal() if isinstance(input, Secret) else input
            return await self._run_command(command, text, timeout)

    async def _run_command(self, command: str, input_text: str, timeout: float) -> CommandResult:
        started = _RunningCommand.start(command, self._machine)
        communication = asyncio.ensure_future(started.communicate(input_text.encode()))
        cut = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({communication, cut}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if communication.done():
                status, out, err = communication.result()
                return CommandResult(status, self._machine.noise + _decode(out), _decode(err))
        except BaseException:
            started.terminate()
            raise
        finally:
            cut.cancel()
            communication.cancel()
            await asyncio.wait({communication})
            started.close()
        self._check_alive()
        started.terminate()
        raise self._timeout_error(timeout)

    async def _wait_for_delay(self, timeout: float) -> None:
        """Let the machine's ``delay`` pass on its clock; ``timeout`` counts on that clock meanwhile."""
        machine, limit = self._machine, timedelta(seconds=timeout)
        late = machine.silent or machine.delay >= limit
        if late or machine.delay:
            waiting = asyncio.ensure_future(machine.clock.sleep(limit if late else machine.delay))
            cut = asyncio.ensure_future(self._closed.wait())
            await asyncio.wait({waiting, cut}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            cut.cancel()
        self._check_alive()
        if late:
            raise self._timeout_error(timeout)

    def _check_alive(self) -> None:
        if not self.is_alive:
            raise UnavailableError(f"the connection to {self.endpoint} was lost", retryable=True)

    def _timeout_error(self, timeout: float) -> UnavailableError:
        return UnavailableError(
            f"{self.endpoint}: no answer within {timeout:g} s", retryable=not self.is_alive
        )


@frozen(eq=False)
class _RunningCommand:
    """A running command and our ends of its pipes."""

    process: StartedProgram
    stdin: AsyncDescriptor
    stdout: AsyncDescriptor
    stderr: AsyncDescriptor

    @classmethod
    def start(cls, command: str, machine: ConnectedMachine) -> _RunningCommand:
        folders = machine.folders
        environment = dict(folders.environment)
        process = start_program(
            [environment["SHELL"], "-c", command],
            environment=environment,
            folder=folders.disk.home,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            new_session=True,
        )
        folders.children.append(process)
        ends = []
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            ends.append(AsyncDescriptor(os.dup(pipe.fileno())))
            pipe.close()
        return cls(process, *ends)

    async def communicate(self, input_data: bytes) -> tuple[int, bytes, bytes]:
        """Write ``input_data`` to stdin, read stdout and stderr to their ends, and wait for the command to exit."""
        feed_task = asyncio.ensure_future(self._feed_stdin(input_data))
        reading = [asyncio.ensure_future(_read_all(end)) for end in (self.stdout, self.stderr)]
        try:
            out, err = await asyncio.gather(*reading)
            ended = await _wait_for_exit(self.process)
        finally:
            for task in (feed_task, *reading):
                task.cancel()
            await asyncio.wait({feed_task, *reading})
        return (128 - ended if ended < 0 else ended), out, err

    async def _feed_stdin(self, input_data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            await self.stdin.write(input_data)
        self.stdin.close()

    def terminate(self) -> None:
        """Send SIGTERM to the command's process group, as when an SSH channel closes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)

    def close(self) -> None:
        """Close our ends of the pipes; a process that still writes gets a broken pipe."""
        for end in (self.stdin, self.stdout, self.stderr):
            end.close()


async def _wait_for_exit(process: StartedProgram) -> int:
    """Wait for the process and return its status; below 0: the signal that killed it."""
    if process.poll() is None and hasattr(os, "pidfd_open"):
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        handle = os.pidfd_open(process.pid)
        loop.add_reader(handle, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
    return await asyncio.to_thread(process.wait) if process.poll() is None else process.returncode


async def _read_all(source: AsyncDescriptor) -> bytes:
    found = bytearray()
    while chunk := await source.read():
        found += chunk
        if len(found) > MAX_OUTPUT_BYTES:
            raise RemoteError(f"the machine's answer is larger than {MAX_OUTPUT_BYTES >> 20} MiB")
    return bytes(found)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")

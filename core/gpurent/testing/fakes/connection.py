"""An open line to a fake machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.errors import RemoteError, UnavailableError, UsageError
from gpurent.infra.ssh.connection import LARGEST
from gpurent.ports.connection import CommandResult
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.machine_folders import MachineFolders
from gpurent.testing.fakes.virtual_time import real_time
from gpurent.testing.sandbox.machines.descriptors import Descriptor


class HostMachine(Protocol):
    """What a line needs of the machine at its other end, a `gpurent.testing.fakes.machine.FakeMachine`."""

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


_NO_SPACE = "ulimit -f 0; trap '' XFSZ; "
"""In front of a command: every write to a file fails from here on, as it does on a full disk."""


class FakeConnection:
    """Implements `gpurent.ports.connection.OpenConnection`; held to `contracts.connection.ConnectionContract`."""

    def __init__(self, machine: HostMachine) -> None:
        self._machine = machine
        self._lost = asyncio.Event()

    @property
    def endpoint(self) -> Endpoint:
        return self._machine.endpoint

    @property
    def transport(self) -> object:
        """There is none: what speaks SSH itself needs a machine of the sandbox."""
        raise UsageError("a fake machine speaks no SSH", hint="Take gpurent.testing.ssh_fixture.")

    @property
    def key_file(self) -> Path:
        """A path of its own; no key lies there."""
        return self._machine.folders.run / "key"

    @property
    def known_hosts(self) -> Path:
        """A path of its own; nothing lies there."""
        return self._machine.folders.run / "known_hosts"

    @property
    def alive(self) -> bool:
        return not self._lost.is_set()

    def lose(self) -> None:
        """The line is cut; what runs in the machine runs on."""
        self._lost.set()
        self._machine.connections.discard(self)

    async def aclose(self) -> None:
        self.lose()

    async def wait_closed(self) -> None:
        await self._lost.wait()

    async def run_interactive(self, command: str | None) -> int:
        """There is no terminal here."""
        raise UsageError("a fake machine has no terminal", hint="Take gpurent.testing.ssh_fixture.")

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - the role's
        """Run ``command`` by ``sh`` in the home; see the role. ``timeout`` is in real seconds, but for ``delay``."""
        self._refuse_if_lost()
        self._machine.commands.append(command)
        await self._wait_as_told(timeout)
        if self._machine.disk_full:
            command = _NO_SPACE + command
        with real_time():
            return await self._run_now(command, input, timeout)

    async def _run_now(self, command: str, given: str, timeout: float) -> CommandResult:
        started = _Started.start(command, self._machine)
        talk = asyncio.ensure_future(started.talk(given.encode()))
        cut = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({talk, cut}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if talk.done():
                status, out, err = talk.result()
                return CommandResult(status, self._machine.noise + _text(out), _text(err))
        except BaseException:
            started.terminate()
            raise
        finally:
            cut.cancel()
            talk.cancel()
            await asyncio.wait({talk})
            started.close()
        self._refuse_if_lost()
        started.terminate()
        raise self._too_late(timeout)

    async def _wait_as_told(self, timeout: float) -> None:
        """The machine's slowness passes on its clock, and so does the time limit meanwhile."""
        machine, limit = self._machine, timedelta(seconds=timeout)
        late = machine.silent or machine.delay >= limit
        if late or machine.delay:
            waiting = asyncio.ensure_future(machine.clock.sleep(limit if late else machine.delay))
            cut = asyncio.ensure_future(self._lost.wait())
            await asyncio.wait({waiting, cut}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            cut.cancel()
        self._refuse_if_lost()
        if late:
            raise self._too_late(timeout)

    def _refuse_if_lost(self) -> None:
        if not self.alive:
            raise UnavailableError(f"the line to {self.endpoint} is lost", retryable=True)

    def _too_late(self, timeout: float) -> UnavailableError:
        return UnavailableError(f"{self.endpoint}: no answer within {timeout:g} s", retryable=not self.alive)


@frozen(eq=False)
class _Started:
    """A command that runs, and our ends of its pipes."""

    process: subprocess.Popen[bytes]
    given: Descriptor
    out: Descriptor
    err: Descriptor

    @classmethod
    def start(cls, command: str, machine: HostMachine) -> _Started:
        folders = machine.folders
        environment = dict(folders.environment)
        process = subprocess.Popen(
            [environment["SHELL"], "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folders.disk.home,
            env=environment,
            start_new_session=True,
        )
        folders.children.append(process)
        ends = []
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            ends.append(Descriptor(os.dup(pipe.fileno())))
            pipe.close()
        return cls(process, *ends)

    async def talk(self, given: bytes) -> tuple[int, bytes, bytes]:
        """Feed ``given``, read both outputs to their ends, wait for the command's own end."""
        feeding = asyncio.ensure_future(self._feed(given))
        reading = [asyncio.ensure_future(_read(end)) for end in (self.out, self.err)]
        try:
            out, err = await asyncio.gather(*reading)
            ended = await _end_of(self.process)
        finally:
            for task in (feeding, *reading):
                task.cancel()
            await asyncio.wait({feeding, *reading})
        return (128 - ended if ended < 0 else ended), out, err

    async def _feed(self, given: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            await self.given.write(given)
        self.given.close()

    def terminate(self) -> None:
        """Ask the command and its children to end, as a closed channel does."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)

    def close(self) -> None:
        """Drop our ends: whoever still writes gets a broken pipe."""
        for end in (self.given, self.out, self.err):
            end.close()


async def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Its status, as soon as it has one; below 0: the signal that ended it."""
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


async def _read(source: Descriptor) -> bytes:
    found = bytearray()
    while chunk := await source.read():
        found += chunk
        if len(found) > LARGEST:
            raise RemoteError(f"the machine's answer is larger than {LARGEST >> 20} MiB")
    return bytes(found)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

"""One SSH session of an embedded machine: a shell or a command, with a terminal or three pipes."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Coroutine
from typing import Any, Protocol

import asyncssh

from gpurent.testing.sandbox.machines.descriptors import AsyncDescriptor
from gpurent.testing.sandbox.machines.supervisor_client import ChildProcess, SupervisorClient

_QUIET_SECONDS = 0.1
"""After this many seconds without output, an ended terminal session counts as complete."""

Process = asyncssh.SSHServerProcess[bytes]


class SessionHost(Protocol):
    """What a session needs of its machine."""

    supervisor: SupervisorClient
    shell: str
    home: str

    def make_environment(self, process: Process) -> dict[str, str]:
        """Return all environment variables of a new session."""


async def serve_session(process: Process, host: SessionHost) -> None:
    """Run what the client asked for, until it ends or the connection is lost."""
    try:
        session = _TerminalSession(process, host) if process.term_type else _PipeSession(process, host)
        work = asyncio.ensure_future(session.run())
        broken = asyncio.ensure_future(process.wait_closed())
        try:
            await asyncio.wait({work, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Cancel also when cancelled from outside: an unreferenced task would be garbage collected with its pipes
            # open.
            broken.cancel()
            work.cancel()
            await asyncio.wait({work})
            session.close()
        if not work.cancelled() and work.exception() is None:
            _report_exit(process, work.result())
        elif not process.is_closing():
            process.exit(255)
    except (OSError, asyncssh.Error):
        process.close()


def _report_exit(process: Process, status: int) -> None:
    if process.is_closing():
        return
    if status < 0:
        process.exit_with_signal(_signal_name(-status))
    else:
        process.exit(status)


def _signal_name(number: int) -> str:
    import signal

    return signal.Signals(number).name.removeprefix("SIG")


class _Session:
    """What both kinds of session share: the command, and copying from and to the client."""

    def __init__(self, process: Process, host: SessionHost) -> None:
        self.process = process
        self.host = host
        self.child: ChildProcess | None = None
        self.descriptors: list[AsyncDescriptor] = []
        # asyncssh delivers a signal at the next read of stdin, and after end of file there is none.
        process.signal_received = self._on_signal  # type: ignore[method-assign]

    def _on_signal(self, signal: str) -> None:
        if self.child:
            self.child.send_signal(signal)

    async def run(self) -> int:
        """Run the command and return its status; below 0: the signal that killed it."""
        raise NotImplementedError

    def close(self) -> None:
        """Close our ends; a process that still uses the other ends gets a hang-up or a broken pipe. Idempotent."""
        for end in self.descriptors:
            end.close()

    def on_resize(self) -> None:
        """Handle a new size of the client's window."""

    async def spawn_shell(self, fds: list[int], env: dict[str, str], *, tty: bool) -> ChildProcess:
        shell, command = self.host.shell, self.process.command
        name = os.path.basename(shell)  # noqa: PTH119  of a string, for argv[0]
        argv = [shell, f"-{name}"] if command is None else [shell, name, "-c", command]
        try:
            return await self.host.supervisor.spawn(argv, env, self.host.home, fds, tty=tty)
        finally:
            for fd in fds:
                os.close(fd)

    async def feed_stdin(self, sink: AsyncDescriptor, *, closes: bool) -> None:
        """Copy from the client to the process until the client's end of file."""
        while True:
            try:
                data = await self.process.stdin.read(65536)
            except asyncssh.TerminalSizeChanged:
                self.on_resize()
                continue
            except asyncssh.BreakReceived:
                continue
            if not data:
                break
            with contextlib.suppress(BrokenPipeError):
                await sink.write(data)
        if closes:
            sink.close()

    async def copy_output(self, source: AsyncDescriptor, writer: "asyncssh.SSHWriter[bytes]") -> None:
        """Copy from the process to the client until nobody has the other side open."""
        while data := await source.read():
            writer.write(data)
            await writer.drain()


class _PipeSession(_Session):
    async def run(self) -> int:
        stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
        sink, output, errors = self.descriptors = [
            AsyncDescriptor(stdin[1]),
            AsyncDescriptor(stdout[0]),
            AsyncDescriptor(stderr[0]),
        ]
        env = self.host.make_environment(self.process)
        self.child = await self.spawn_shell([stdin[0], stdout[1], stderr[1]], env, tty=False)
        async with _background_task(self.feed_stdin(sink, closes=True)):
            await asyncio.gather(
                self.copy_output(output, self.process.stdout), self.copy_output(errors, self.process.stderr)
            )
            return await asyncio.shield(self.child.ended)


class _TerminalSession(_Session):
    def __init__(self, process: Process, host: SessionHost) -> None:
        super().__init__(process, host)
        self._had_output = asyncio.Event()

    async def run(self) -> int:
        master, slave = os.openpty()
        self.descriptors = [AsyncDescriptor(master)]
        screen = self.descriptors[0]
        self.on_resize()
        env = self.host.make_environment(self.process) | {"SSH_TTY": os.ttyname(slave)}
        self.child = await self.spawn_shell([slave], env, tty=True)
        async with _background_task(self.feed_stdin(screen, closes=False)):
            output = asyncio.ensure_future(self._copy_screen(screen))
            try:
                status = await asyncio.shield(self.child.ended)
                await self._wait_for_output(output)
            finally:
                output.cancel()
                await asyncio.wait({output})
            return status

    def on_resize(self) -> None:
        columns, rows, width, height = self.process.term_size
        with contextlib.suppress(OSError, struct.error):
            size = struct.pack("HHHH", rows, columns, width, height)
            fcntl.ioctl(self.descriptors[0].fd, termios.TIOCSWINSZ, size)

    async def _copy_screen(self, screen: AsyncDescriptor) -> None:
        while data := await screen.read():
            self._had_output.set()
            self.process.stdout.write(data)
            await self.process.stdout.drain()

    async def _wait_for_output(self, output: "asyncio.Task[None]") -> None:
        """After the leader ended, wait for its remaining output, but not for processes it left in the background."""
        while not output.done():
            self._had_output.clear()
            done, _ = await asyncio.wait({output}, timeout=_QUIET_SECONDS)
            if not done and not self._had_output.is_set():
                return


class _background_task:  # noqa: N801  used like a function
    """Run a coroutine while the block runs; its own end or failure does not affect the block."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work

    async def __aenter__(self) -> None:
        self._task = asyncio.ensure_future(self._work)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()

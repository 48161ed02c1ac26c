"""The driver's side of a supervisor: starts it, spawns processes through it, ends it."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import define, field

from gpurent.child_processes import DEVNULL, start_program
from gpurent.testing.load_timeouts import wait_within
from gpurent.testing.sandbox.machines.model import BootFailed
from gpurent.testing.sandbox.machines.process_tree import list_descendants, wait_for_exit

if TYPE_CHECKING:
    from gpurent.child_processes import StartedProgram

_SCRIPT = Path(__file__).with_name("supervisor.py")
_TIMEOUT = 10.0  # seconds on an idle computer


@define(eq=False)
class ChildProcess:
    """A process in the machine, leader of its own session. ``ended`` resolves to its status; below 0: a signal."""

    number: int
    pid: int
    ended: "asyncio.Future[int]" = field(repr=False)

    def send_signal(self, name: str) -> None:
        """Send a signal such as ``TERM`` to its process group, as sshd does.

        Does nothing for an unknown name or a dead process.
        """
        number = getattr(signal, f"SIG{name}", None)
        if number is not None and not self.ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


class SupervisorClient:
    """One supervisor process and the socket to it."""

    def __init__(self, channel: socket.socket, process: "StartedProgram") -> None:
        self.ended = asyncio.Event()
        """Set when the supervisor ended, asked or unasked, and all that it kept with it."""
        self.pid = process.pid
        self._socket = channel
        self._process = process
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._ready = asyncio.Event()
        self._start_futures: dict[int, asyncio.Future[int]] = {}
        self._exit_futures: dict[int, asyncio.Future[int]] = {}
        self._lock = asyncio.Lock()
        asyncio.get_running_loop().add_reader(channel, self._on_readable)

    @classmethod
    async def start(cls, log: Path) -> Self:
        """Start a supervisor; its own errors go to ``log``. Raises ``BootFailed``."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, log.open("wb") as errors:
            process = start_program(
                [sys.executable, "-I", "-S", str(_SCRIPT), str(theirs.fileno())],
                environment={},
                pass_fds=(theirs.fileno(),),
                stdout=DEVNULL,
                stderr=errors,
                new_session=True,
            )
        client = cls(ours, process)
        with contextlib.suppress(TimeoutError):
            await wait_within(_TIMEOUT, client._ready.wait())
        if not client._ready.is_set() or client.ended.is_set():
            await client.kill()
            raise BootFailed(read_log_tail(log))
        return client

    async def spawn(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, fds: Sequence[int], *, tty: bool
    ) -> ChildProcess:
        """Start ``argv[0]`` with the arguments ``argv[1:]``, of which the first is its argv[0].

        ``fds``: one terminal, or stdin, stdout and stderr; they are copied, and the caller closes its own. Raises
        ``ConnectionError`` if the machine is gone.
        """
        number = next(self._numbers)
        order = {"spawn": number, "argv": list(argv), "env": dict(env), "cwd": cwd, "tty": tty}
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        async with self._lock:  # one request at a time: descriptors of two must not be mixed up
            if self.ended.is_set():
                raise ConnectionError("the machine is gone")
            self._exit_futures[number] = ended
            self._start_futures[number] = loop.create_future()
            try:
                await self._send(json.dumps(order).encode() + b"\n", fds)
                pid = await self._start_futures[number]
            finally:
                del self._start_futures[number]
        return ChildProcess(number, pid, ended)

    def list_processes(self) -> list[int]:
        """Return the ids of the supervisor and all its descendants."""
        return [] if self.ended.is_set() else [self.pid, *list_descendants(self.pid)]

    async def kill(self) -> None:
        """Kill everything; return when no process is left."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        try:
            await wait_within(_TIMEOUT, self.ended.wait())
        except TimeoutError:
            for pid in reversed(self.list_processes()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._on_lost()
        await wait_for_exit(self._process)
        self._socket.close()

    async def _send(self, message: bytes, fds: Sequence[int]) -> None:
        sent = socket.send_fds(self._socket, [message], fds)
        if sent < len(message):
            await asyncio.get_running_loop().sock_sendall(self._socket, message[sent:])

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_lost()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle_message(json.loads(line))

    def _handle_message(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready.set()
        elif "started" in message:
            if starting := self._start_futures.get(message["started"]):
                _set_result(starting, message["pid"])
        elif "ended" in message:
            _set_result(self._exit_futures.pop(message["ended"]), message["status"])

    def _on_lost(self) -> None:
        if self.ended.is_set():
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self.ended.set()
        self._ready.set()
        for starting in self._start_futures.values():
            if not starting.done():
                starting.set_exception(ConnectionError("the machine is gone"))
        for ended in self._exit_futures.values():
            _set_result(ended, -signal.SIGKILL)


def read_log_tail(log: Path) -> str:
    """Return the end of a log file."""
    return log.read_text(errors="replace")[-2000:]


def _set_result(future: "asyncio.Future[int]", value: int) -> None:
    if not future.done():
        future.set_result(value)

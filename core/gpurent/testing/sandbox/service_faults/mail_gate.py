"""The relay in front of the IMAP server: it records every command and applies the faults of the service ``mail``."""

from __future__ import annotations

import asyncio
import re
from typing import Self

from attrs import define

from gpurent.testing.sandbox.local_ports import HOST, bind_listener, stop_listening
from gpurent.testing.sandbox.peers import is_own_peer
from gpurent.testing.sandbox.service_faults.active_faults import ActiveFault, ServiceCall, ServiceFaults
from gpurent.testing.sandbox.service_faults.fault import MAIL_SERVICE

LINE_BYTES = 1 << 20
# A tag, a command, and at most its first argument: what follows may be a password.
_COMMAND = re.compile(
    rb'(?P<tag>[A-Za-z0-9.]+) (?P<name>[A-Za-z]+)(?: "?(?P<argument>[^ "\r\n]*).*)?\r?\n', re.DOTALL
)


class MailFaultGate:
    """Listens on a port of its own, and relays IMAP to ``target_port`` with the faults of `MAIL_SERVICE`.

    A fault with a body refuses the command with that text: with ``NO``, or if the connection is lost too, with ``BYE``.
    """

    def __init__(self, faults: ServiceFaults, target_port: int, port: int = 0) -> None:
        self._faults = faults
        self._target_port = target_port
        self._listener = bind_listener(port)
        self.port: int = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        self._faults.register_service(MAIL_SERVICE, self.set_refusing)
        await self.set_refusing(False)
        return self

    async def set_refusing(self, refusing: bool) -> None:
        """Refuse connections, and drop those that are open, or accept them again; the port is kept."""
        if refusing == (self._server is None):
            return
        if self._server is None:
            self._listener.listen()
            self._server = await asyncio.start_server(
                self._serve, sock=self._listener.dup(), limit=LINE_BYTES
            )
            return
        self._server.close()
        self._server = None
        stop_listening(self._listener)
        await self._drop_connections()

    async def close(self) -> None:
        await self.set_refusing(True)
        self._listener.close()

    async def _drop_connections(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            if not is_own_peer(writer.get_extra_info("socket")):
                return
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port)
            writers.append(server_writer)
            relay = _MailRelay(self._faults, reader, writer, server_reader, server_writer)
            await relay.run()
        except (OSError, asyncio.CancelledError):
            pass  # the server is gone, or the gate closes
        finally:
            self._tasks.discard(task)
            for end in writers:
                end.transport.abort()


class _ConnectionLost(ConnectionError):
    """A fault cuts the connection."""


@define(eq=False)
class _MailRelay:
    """One client's connection and the matching one to the server."""

    _faults: ServiceFaults
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _server_reader: asyncio.StreamReader
    _server_writer: asyncio.StreamWriter
    _late: tuple[bytes, ServiceCall, ActiveFault] | None = None
    """The command whose answer a fault changes: its tag, call and fault."""

    async def run(self) -> None:
        """Relay both ways until one side closes."""
        flows = {asyncio.ensure_future(self._relay_commands()), asyncio.ensure_future(self._relay_answers())}
        try:
            done, _rest = await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for flow in flows:
                flow.cancel()
            await asyncio.wait(flows)
        for flow in done:
            flow.result()

    async def _relay_commands(self) -> None:
        while line := await self._reader.readline():
            found = _COMMAND.fullmatch(line)
            if found is None or not await self._answer_early(found, line):
                await _write(self._server_writer, line)

    async def _answer_early(self, found: re.Match[bytes], line: bytes) -> bool:
        """Apply the fault that the command meets before it takes effect. Returns True if it answered the client."""
        path = "/" + (found["argument"] or b"").decode("utf-8", "replace")
        name = found["name"].decode().upper()
        call, active = self._faults.begin_call(MAIL_SERVICE, name, path, line)
        if active is None:
            return False
        if active.fault.after:
            self._late = found["tag"], call, active
            return False
        return await self._apply_fault(found["tag"], call, active)

    async def _apply_fault(self, tag: bytes, call: ServiceCall, active: ActiveFault) -> bool:
        await active.delay_call(call)
        fault = active.fault
        if active.is_cleared or not (fault.lose or fault.replaces_answer):
            return False
        active.record_applied(call)
        if fault.lose:
            if fault.body is not None:
                await _write(self._writer, b"* BYE " + fault.body.encode() + b"\r\n")
            raise _ConnectionLost
        await _write(self._writer, tag + b" NO " + (fault.body or "").encode() + b"\r\n")
        return True

    async def _relay_answers(self) -> None:
        waiting = b""
        while data := await self._server_reader.read(LINE_BYTES):
            waiting += data
            if self._late is None:
                await _write(self._writer, waiting)
                waiting = b""
                continue
            tag, call, active = self._late
            if re.search(rb"(?:^|\r\n)" + re.escape(tag) + rb" [^\r\n]*\r\n\Z", waiting):
                self._late = None
                if not await self._apply_fault(tag, call, active):
                    await _write(self._writer, waiting)
                waiting = b""


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()

"""A TCP relay that can be told to misbehave: the wire between a client and a machine or a portal."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from attrs import frozen

CHUNK = 256 * 1024
QUEUED_CHUNKS = 64
HOST = "127.0.0.1"


@frozen(kw_only=True)
class Plan:
    """What goes wrong. The default: nothing.

    A plan counts from the moment it is set; ``times`` limits how often its cut or its HTTP fault strikes
    (None: always), so that a client's next try can succeed.
    """

    cut_up: int | None = None
    """Cut a connection after exactly this many bytes from client to target."""
    cut_down: int | None = None
    """The same, from target to client."""
    at_cut: Literal["reset", "close", "stall"] = "reset"
    stall: bool = False
    """Nothing moves, nothing is closed."""
    round_trip: float = 0.0
    """Added delay in seconds, half of it each way."""
    rate: int | None = None
    """Bytes a second, for each direction of each connection."""
    refuse: bool = False
    """New connections are refused; open ones go on."""
    http: Literal["", "lose_answer", "answer_500_after_effect"] = ""
    """The request reaches the target and takes effect; its answer is lost with the connection, or is 500."""
    when: Callable[[bytes], bool] = lambda request_line: True
    """Which requests ``http`` strikes, by their first line: ``b"POST /orders HTTP/1.1"``."""
    times: int | None = None


class FaultProxy:
    """Listens on a port of its own and relays to a target, as ``plan`` says.

    ``plan`` may be set at any time, also for connections already open. The port is kept while refusing.
    """

    def __init__(self, target_host: str, target_port: int, port: int = 0) -> None:
        self._target = (target_host, target_port)
        self._listener = _bound(port)
        self.host = HOST
        self.port: int = self._listener.getsockname()[1]
        self._plan = Plan()
        self._strikes = 0
        self._held = False
        self._started = False
        self._changed = asyncio.Event()
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[_Connection] = set()

    @property
    def plan(self) -> Plan:
        """The faults in force."""
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._plan = plan
        self._strikes = 0
        for connection in self._connections:
            connection.forget_counts()
        self._listen(self._started and not plan.refuse)
        self._announce()

    @property
    def stalled(self) -> bool:
        """Whether nothing moves now."""
        return self._plan.stall or self._held

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def hold(self, held: bool) -> None:
        """Stall whatever the plan says, or obey the plan again."""
        self._held = held
        self._announce()

    async def start(self) -> Self:
        """Begin to accept."""
        self._started = True
        self._listen(not self._plan.refuse)
        return self

    def reset_all(self) -> int:
        """Reset every open connection, on both sides. Returns how many there were."""
        cut = list(self._connections)
        for connection in cut:
            connection.end("reset")
        return len(cut)

    async def close(self) -> None:
        """Reset what is open and give the port back. Idempotent."""
        self._started = False
        self._listen(False)
        self.reset_all()
        self._listener.close()
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def flowing(self) -> Plan:
        """Wait until nothing stalls, then give the plan in force."""
        while self.stalled:
            await self._changed.wait()
        return self._plan

    def strike(self) -> bool:
        """Take one of the plan's ``times``; false when they are used up."""
        if self._plan.times is not None and self._strikes >= self._plan.times:
            return False
        self._strikes += 1
        return True

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _listen(self, wanted: bool) -> None:
        if self._listener.fileno() < 0 or wanted == (self._accepting is not None):
            return
        if self._accepting is None:
            self._listener.listen(128)
            self._accepting = asyncio.get_running_loop().create_task(self._accept())
            return
        self._accepting.cancel()
        self._accepting = None
        _forget(self._listener)
        if sys.platform == "linux":  # ends listening and keeps the port; a later listen() revives it
            self._listener.shutdown(socket.SHUT_RDWR)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError:  # out of file descriptors, most likely: wait for some to come back
                await asyncio.sleep(0.05)
                continue
            connection = _Connection(self, client)
            self._connections.add(connection)
            connection.task = loop.create_task(self._serve(connection))

    async def _serve(self, connection: "_Connection") -> None:
        try:
            await self.flowing()
            await connection.relay(self._target)
        finally:
            self._connections.discard(connection)
            connection.end("close")


class _Connection:
    """One client and its connection to the target."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.task: asyncio.Task[None] | None = None
        self.request_line = b""
        self.stuck = False
        self._sockets = [client]
        self._flows: list[_Flow] = []
        client.setblocking(False)

    async def relay(self, target: tuple[str, int]) -> None:
        """Carry bytes both ways until both sides are done."""
        client = self._sockets[0]
        server = socket.socket()
        server.setblocking(False)
        self._sockets.append(server)
        try:
            await asyncio.get_running_loop().sock_connect(server, target)
        except OSError:
            self.end("reset")
            return
        for end in self._sockets:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._flows = [_Flow(self, client, server, up=True), _Flow(self, server, client, up=False)]
        try:
            async with asyncio.TaskGroup() as group:
                for flow in self._flows:
                    group.create_task(flow.read())
                    group.create_task(flow.write())
        except* OSError:
            self.end("reset")

    def forget_counts(self) -> None:
        """Count from here: a new plan is in force."""
        for flow in self._flows:
            flow.passed, flow.spared = 0, False

    async def flowing(self) -> Plan:
        """Wait until this connection may move, then give the plan in force."""
        if self.stuck:
            await asyncio.Event().wait()
        return await self.proxy.flowing()

    def note_request(self, data: bytes) -> None:
        """The first bytes after an answer are the head of the next request (HTTP/1.1 without pipelining)."""
        if not self.request_line:
            self.request_line = data.split(b"\r\n", 1)[0]

    def http_fault(self) -> str:
        """The fault that the answer now beginning must suffer; empty for none."""
        line, self.request_line = self.request_line, b""
        plan = self.proxy.plan
        if line and plan.http and plan.when(line) and self.proxy.strike():
            return plan.http
        return ""

    def end(self, how: Literal["reset", "close"]) -> None:
        """Close both sides; a reset discards what is on its way. Idempotent."""
        sockets, self._sockets = self._sockets, []
        for end in sockets:
            _forget(end)
            if how == "reset":
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        if self.task and self.task is not asyncio.current_task():
            self.task.cancel()


class _Flow:
    """One direction of one connection: a reader that stamps chunks, a writer that lets them pass in time."""

    def __init__(
        self, connection: _Connection, source: socket.socket, sink: socket.socket, *, up: bool
    ) -> None:
        self._connection = connection
        self._proxy = connection.proxy
        self._source, self._sink, self._up = source, sink, up
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
        self.passed = 0  # bytes since the plan was set
        self.spared = False  # the plan's cuts were used up when this flow was due

    async def read(self) -> None:
        """Take what comes, until its end."""
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            await self._connection.flowing()
            data = await loop.sock_recv(self._source, CHUNK)
            await self._chunks.put((loop.time() + self._proxy.plan.round_trip / 2, data))

    async def write(self) -> None:
        """Give each chunk to the other side when it is due."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._chunks.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self._connection.flowing()
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            if self._up:
                self._connection.note_request(data)
            elif fault := self._connection.http_fault():
                await self._spoil(fault)
            await self._pass(data)

    async def _pass(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            plan = await self._connection.flowing()
            await self._cut_if_due(plan)
            size = self._step(plan, len(data))
            await loop.sock_sendall(self._sink, data[:size])
            data = data[size:]
            if plan is self._proxy.plan:
                self.passed += size
                await self._cut_if_due(plan)
            if plan.rate:
                await asyncio.sleep(size / plan.rate)

    def _limit(self, plan: Plan) -> int | None:
        return None if self.spared else plan.cut_up if self._up else plan.cut_down

    def _step(self, plan: Plan, waiting: int) -> int:
        size = min(waiting, max(1, plan.rate // 20)) if plan.rate else waiting
        limit = self._limit(plan)
        return size if limit is None else min(size, limit - self.passed)

    async def _cut_if_due(self, plan: Plan) -> None:
        if self.passed != self._limit(plan):
            return
        self.spared = not self._proxy.strike()
        if self.spared:
            return
        if plan.at_cut == "stall":
            self._connection.stuck = True
            await self._connection.flowing()
        self._connection.end("close" if plan.at_cut == "close" else "reset")
        raise ConnectionResetError

    async def _spoil(self, fault: str) -> None:
        if fault == "answer_500_after_effect":
            body = b"internal error"
            head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            await asyncio.get_running_loop().sock_sendall(
                self._sink, head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
            self._connection.end("close")
        else:
            self._connection.end("reset")
        raise ConnectionResetError


def _bound(port: int) -> socket.socket:
    """A socket bound to that port, or to a free one, in a way that keeps the port while not listening."""
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((HOST, port or free_port()))
            return listener
        except OSError:
            listener.close()
            if port:
                raise


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        number: int = probe.getsockname()[1]
        return number


def _forget(end: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    if end.fileno() >= 0:
        loop.remove_reader(end)
        loop.remove_writer(end)

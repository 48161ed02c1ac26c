"""A TCP proxy that injects faults between a client and a machine or a simulator, whatever they say to each other.

Only connections of the sandbox's own user are relayed.
"""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Literal, Self

from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.sandbox.local_ports import HOST, bind_listener, stop_listening
from gpurent.testing.sandbox.peers import is_own_peer

CHUNK_BYTES = 256 * 1024
QUEUED_CHUNKS = 64


class FaultProxy:
    """Listens on its own port and relays to a target with the faults of ``plan``.

    ``plan`` may be set at any time and also applies to open connections. The port is kept while it refuses connections.
    """

    def __init__(self, target_host: str, target_port: int, port: int = 0) -> None:
        self._target = (target_host, target_port)
        self._listener = bind_listener(port)
        self.host = HOST
        self.port: int = self._listener.getsockname()[1]
        self._plan = FaultPlan()
        self._faults_used = 0
        self._is_held = False
        self._started = False
        self._changed = asyncio.Event()
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[_ProxyConnection] = set()

    @property
    def plan(self) -> FaultPlan:
        """The faults in force."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._faults_used = 0
        for connection in self._connections:
            connection.reset_counts()
        self._set_listening(self._started and not plan.refuse)
        self._notify_waiters()

    @property
    def is_stalled(self) -> bool:
        """Whether data is stalled now."""
        return self._plan.stall or self._is_held

    @property
    def connection_count(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def hold(self, held: bool) -> None:
        """With ``held``, stall whatever the plan says; without, follow the plan again."""
        self._is_held = held
        self._notify_waiters()

    async def start(self) -> Self:
        """Start accepting connections."""
        self._started = True
        self._set_listening(not self._plan.refuse)
        return self

    def reset_connections(self) -> int:
        """Reset every open connection, on both sides. Returns how many there were."""
        cut = list(self._connections)
        for connection in cut:
            connection.close("reset")
        return len(cut)

    async def close(self) -> None:
        """Reset open connections and release the port. Idempotent."""
        self._started = False
        self._set_listening(False)
        self.reset_connections()
        self._listener.close()
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def wait_until_flowing(self) -> FaultPlan:
        """Wait until nothing is stalled, then return the plan in force."""
        while self.is_stalled:
            await self._changed.wait()
        return self._plan

    def use_fault(self) -> bool:
        """Use up one of the plan's ``times``; return False if none is left."""
        if self._plan.times is not None and self._faults_used >= self._plan.times:
            return False
        self._faults_used += 1
        return True

    def _notify_waiters(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _set_listening(self, wanted: bool) -> None:
        if self._listener.fileno() < 0 or wanted == (self._accepting is not None):
            return
        if self._accepting is None:
            self._listener.listen(128)
            self._accepting = asyncio.get_running_loop().create_task(self._accept())
            return
        self._accepting.cancel()
        self._accepting = None
        _remove_from_loop(self._listener)
        stop_listening(self._listener)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError:  # out of file descriptors, most likely: wait for free ones
                await asyncio.sleep(0.05)
                continue
            if not is_own_peer(client):
                client.close()
                continue
            connection = _ProxyConnection(self, client)
            self._connections.add(connection)
            connection.task = loop.create_task(self._serve(connection))

    async def _serve(self, connection: "_ProxyConnection") -> None:
        try:
            await self.wait_until_flowing()
            await connection.relay(self._target)
        finally:
            self._connections.discard(connection)
            connection.close("close")


class _ProxyConnection:
    """A client's connection and the matching connection to the target."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.task: asyncio.Task[None] | None = None
        self.is_stalled = False
        self._sockets = [client]
        self._flows: list[_Flow] = []
        client.setblocking(False)

    async def relay(self, target: tuple[str, int]) -> None:
        """Relay bytes both ways until both sides are done."""
        client = self._sockets[0]
        server = socket.socket()
        server.setblocking(False)
        self._sockets.append(server)
        try:
            await asyncio.get_running_loop().sock_connect(server, target)
        except OSError:
            self.close("reset")
            return
        for end in self._sockets:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._flows = [_Flow(self, client, server, up=True), _Flow(self, server, client, up=False)]
        try:
            async with asyncio.TaskGroup() as group:
                for flow in self._flows:
                    group.create_task(flow.read_chunks())
                    group.create_task(flow.write_chunks())
        except* OSError:
            self.close("reset")

    def reset_counts(self) -> None:
        """Restart the byte counts because a new plan is in force."""
        for flow in self._flows:
            flow.bytes_passed, flow.is_cut_skipped = 0, False

    async def wait_until_flowing(self) -> FaultPlan:
        """Wait until this connection is not stalled, then return the plan in force."""
        if self.is_stalled:
            await asyncio.Event().wait()
        return await self.proxy.wait_until_flowing()

    def close(self, mode: Literal["reset", "close"]) -> None:
        """Close both sides; a reset discards data in flight. Idempotent."""
        sockets, self._sockets = self._sockets, []
        for end in sockets:
            _remove_from_loop(end)
            if mode == "reset":
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        if self.task and self.task is not asyncio.current_task():
            self.task.cancel()


class _Flow:
    """One direction of a connection: a reader that timestamps chunks, and a writer that forwards them when due."""

    def __init__(
        self, connection: _ProxyConnection, source: socket.socket, sink: socket.socket, *, up: bool
    ) -> None:
        self._connection = connection
        self._proxy = connection.proxy
        self._source, self._sink, self._is_upload = source, sink, up
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
        self.bytes_passed = 0  # since the plan was set
        self.is_cut_skipped = False  # the plan's ``times`` were used up when this flow's cut was due

    async def read_chunks(self) -> None:
        """Read chunks until end of file."""
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            await self._connection.wait_until_flowing()
            data = await loop.sock_recv(self._source, CHUNK_BYTES)
            await self._chunks.put((loop.time() + self._proxy.plan.rtt / 2, data))

    async def write_chunks(self) -> None:
        """Forward each chunk to the other side when it is due."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._chunks.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self._connection.wait_until_flowing()
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await self._forward(data)

    async def _forward(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            plan = await self._connection.wait_until_flowing()
            await self._cut_if_due(plan)
            size = self._next_size(plan, len(data))
            await loop.sock_sendall(self._sink, data[:size])
            data = data[size:]
            if plan is self._proxy.plan:
                self.bytes_passed += size
                await self._cut_if_due(plan)
            if plan.rate:
                await asyncio.sleep(size / plan.rate)

    def _cut_position(self, plan: FaultPlan) -> int | None:
        return (
            None
            if self.is_cut_skipped
            else plan.cut_upload_after
            if self._is_upload
            else plan.cut_download_after
        )

    def _next_size(self, plan: FaultPlan, waiting: int) -> int:
        size = min(waiting, max(1, plan.rate // 20)) if plan.rate else waiting
        limit = self._cut_position(plan)
        return size if limit is None else min(size, limit - self.bytes_passed)

    async def _cut_if_due(self, plan: FaultPlan) -> None:
        if self.bytes_passed != self._cut_position(plan):
            return
        self.is_cut_skipped = not self._proxy.use_fault()
        if self.is_cut_skipped:
            return
        if plan.cut_mode == "stall":
            self._connection.is_stalled = True
            await self._connection.wait_until_flowing()
        self._connection.close("close" if plan.cut_mode == "close" else "reset")
        raise ConnectionResetError


def _remove_from_loop(end: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    if end.fileno() >= 0:
        loop.remove_reader(end)
        loop.remove_writer(end)

"""A network that misbehaves on command."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.sandbox.fault_proxy import FaultProxy


class EchoServer:
    """Echoes and records what it receives."""

    def __init__(self) -> None:
        self.received = b""

    async def serve_echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.received += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


@pytest.fixture
def target() -> EchoServer:
    return EchoServer()


@pytest.fixture
async def echo_proxy(target: EchoServer) -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(target.serve_echo, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class RawClient:
    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy

    async def __aenter__(self) -> "RawClient":
        self.reader, self.writer = await asyncio.open_connection(self.proxy.host, self.proxy.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive_all(self) -> tuple[bytes, bool]:
        """Return all data up to the end, and whether the end was a reset."""
        got = b""
        try:
            while data := await asyncio.wait_for(self.reader.read(65536), 10):
                got += data
        except ConnectionResetError:
            return got, True
        return got, False


async def test_without_a_plan_it_forwards_everything(echo_proxy: FaultProxy) -> None:
    data = bytes(range(256)) * 20_000
    async with RawClient(echo_proxy) as client:
        sending = asyncio.create_task(client.send(data))
        assert await client.reader.readexactly(len(data)) == data
        await sending
        client.writer.write_eof()
        assert await client.receive_all() == (b"", False)


@pytest.mark.parametrize("at", [0, 1, 1000])
async def test_cut_after_exactly_k_bytes_down(echo_proxy: FaultProxy, at: int) -> None:
    echo_proxy.plan = FaultPlan(cut_download_after=at)
    async with RawClient(echo_proxy) as client:
        await client.send(b"x" * 5000)
        assert await client.receive_all() == (b"x" * at, True)


async def test_cut_after_exactly_k_bytes_up(echo_proxy: FaultProxy, target: EchoServer) -> None:
    echo_proxy.plan = FaultPlan(cut_upload_after=700)
    async with RawClient(echo_proxy) as client:
        await client.send(b"x" * 5000)
        assert (await client.receive_all())[1]
    assert target.received == b"x" * 700


async def test_orderly_close(echo_proxy: FaultProxy) -> None:
    echo_proxy.plan = FaultPlan(cut_download_after=10, cut_mode="close")
    async with RawClient(echo_proxy) as client:
        await client.send(b"x" * 20)
        assert await client.receive_all() == (b"x" * 10, False)


async def test_a_cut_that_stalls(echo_proxy: FaultProxy) -> None:
    echo_proxy.plan = FaultPlan(cut_download_after=10, cut_mode="stall")
    async with RawClient(echo_proxy) as client:
        await client.send(b"x" * 20)
        assert await client.reader.readexactly(10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.1)
        assert echo_proxy.reset_connections() == 1


async def test_times_lets_the_next_try_pass(echo_proxy: FaultProxy) -> None:
    echo_proxy.plan = FaultPlan(cut_download_after=3, times=1)
    for passes in (False, True):
        async with RawClient(echo_proxy) as client:
            await client.send(b"x" * 9)
            client.writer.write_eof()
            assert await client.receive_all() == ((b"x" * 9, False) if passes else (b"xxx", True))


async def test_a_plan_counts_from_when_it_is_set(echo_proxy: FaultProxy) -> None:
    async with RawClient(echo_proxy) as client:
        await client.send(b"x" * 100)
        await client.reader.readexactly(100)
        echo_proxy.plan = FaultPlan(cut_download_after=5)
        await client.send(b"y" * 100)
        assert await client.receive_all() == (b"y" * 5, True)


async def test_stall_and_resume(echo_proxy: FaultProxy) -> None:
    async with RawClient(echo_proxy) as client:
        echo_proxy.plan = FaultPlan(stall=True)
        await client.send(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.1)
        echo_proxy.plan = FaultPlan()
        assert await asyncio.wait_for(client.reader.readexactly(4), 5) == b"late"


async def test_round_trip_delay_keeps_the_bandwidth(echo_proxy: FaultProxy) -> None:
    echo_proxy.plan = FaultPlan(rtt=0.2)
    data = b"x" * 4_000_000
    async with RawClient(echo_proxy) as client:
        start = time.monotonic()
        sending = asyncio.create_task(client.send(data))
        await client.reader.readexactly(1)
        first = time.monotonic() - start
        await client.reader.readexactly(len(data) - 1)
        last = time.monotonic() - start
        await sending
    assert 0.2 <= first < 1
    assert last < first + 2


async def test_rate(echo_proxy: FaultProxy) -> None:
    echo_proxy.plan = FaultPlan(rate=200_000)
    async with RawClient(echo_proxy) as client:
        start = time.monotonic()
        await client.send(b"x" * 60_000)
        await client.reader.readexactly(60_000)
        assert 0.25 <= time.monotonic() - start < 2


async def test_refuse_keeps_the_port_and_the_open_connections(echo_proxy: FaultProxy) -> None:
    async with RawClient(echo_proxy) as client:
        await client.send(b"a")
        await client.reader.readexactly(1)
        echo_proxy.plan = FaultPlan(refuse=True)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(echo_proxy.host, echo_proxy.port)
        await client.send(b"b")
        assert await client.reader.readexactly(1) == b"b"
        echo_proxy.plan = FaultPlan()
        async with RawClient(echo_proxy) as other:
            await other.send(b"c")
            assert await other.reader.readexactly(1) == b"c"


async def test_reset_all_counts(echo_proxy: FaultProxy) -> None:
    async with RawClient(echo_proxy) as one, RawClient(echo_proxy) as two:
        for client in (one, two):
            await client.send(b"a")
            await client.reader.readexactly(1)
        assert echo_proxy.connection_count == 2
        assert echo_proxy.reset_connections() == 2
        assert [await client.receive_all() for client in (one, two)] == [(b"", True)] * 2
    assert echo_proxy.connection_count == 0


async def test_a_dead_target_resets(unused_tcp_port: int) -> None:
    async with FaultProxy("127.0.0.1", unused_tcp_port) as proxy, RawClient(proxy) as client:
        assert await client.receive_all() == (b"", True)


async def test_close_releases_the_port(echo_proxy: FaultProxy) -> None:
    port = echo_proxy.port
    await echo_proxy.close()
    await echo_proxy.close()
    again = await FaultProxy("127.0.0.1", 1, port).start()
    assert again.port == port
    await again.close()

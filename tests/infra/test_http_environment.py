"""Certificates and proxies that the environment names: used if they can be, and named clearly if not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import define, field

from gpurent.errors import UsageError
from gpurent.testing.fakes.http_server import http_reply, http_server, make_self_signed_context
from tests.infra.test_http import Make

HOST = "service.example"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_proxy", "https_proxy", "http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@define
class SocksProxy:
    """A SOCKS 5 proxy without a password, which connects every host to 127.0.0.1."""

    port: int = 0
    hosts: list[str] = field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _version, methods = await reader.readexactly(2)
            await reader.readexactly(methods)
            writer.write(b"\x05\x00")
            _version, _connect, _reserved, kind = await reader.readexactly(4)
            assert kind == 3, "the name is resolved by the proxy"
            host = await reader.readexactly((await reader.readexactly(1))[0])
            port = int.from_bytes(await reader.readexactly(2), "big")
            self.hosts.append(host.decode())
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def socks_proxy() -> AsyncIterator[SocksProxy]:
    made = SocksProxy()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def test_a_service_is_reached_through_a_socks_proxy_with_certificates_of_ones_own(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socksio")
    tls = make_self_signed_context(tmp_path, HOST)
    async with socks_proxy() as proxy, http_server(http_reply(b"here"), tls=tls) as far:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        client = make_client(f"https://{HOST}:{far.port}")
        found = await client.request("GET", "/")
        assert (found.status, found.text) == (200, "here")
        await client.aclose()
    assert proxy.hosts == [HOST]


async def test_without_its_package_a_socks_proxy_is_named(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter22@127.0.0.1:9")
    with pytest.raises(UsageError) as caught:
        await make_client(f"https://{HOST}").request("GET", "/")
    error = caught.value
    assert "ALL_PROXY" in error.message
    assert "pip install 'gpurent[socks]'" in error.hint
    assert "hunter22" not in f"{error.message}{error.hint}"


@pytest.mark.parametrize("content", [None, "this is no certificate"])
async def test_certificates_that_cannot_be_read_are_named(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UsageError) as caught:
        await make_client(f"https://{HOST}").request("GET", "/")
    assert f"SSL_CERT_FILE is {path}" in caught.value.message
    assert "PEM" in caught.value.hint


async def test_a_proxy_of_another_kind_is_named(make_client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "ftp://proxy.example")
    with pytest.raises(UsageError, match="https_proxy"):
        await make_client(f"https://{HOST}").request("GET", "/")

"""Ports of a machine from here: a real HTTP server there, real lines, real cuts, the real command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from gpurent.composition.application import Application
from gpurent.domain.trip import TripSpec
from gpurent.workflow.connection.reach import browser_host, exposure_warning
from tests.workflow.world import World, world

# Writes the port that it got into a file: two machines of one computer must not quarrel about one.
SERVE = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ("here is " + self.path + " " * int(self.headers.get("x-size", 0))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
with open("port.new", "w") as file:
    file.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
"""


@asynccontextmanager
async def renting(land: World) -> AsyncIterator[tuple[Application, str]]:
    async with land.application() as application:
        await application.account_commands.login(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await land.settle_alipay(application, "20")
        yield application, (await application.trips.rent(TripSpec(provider="mistgpu"))).id


def home(land: World) -> Path:
    (machine,) = land.cloud.driver.machines()
    return Path(machine.home)


async def serving(land: World, application: Application, lease: str) -> int:
    """A real HTTP server as a job on the machine; its port there."""
    (home(land) / "serve.py").write_text(SERVE)
    await application.machine_commands.start(lease, "web", ("python3", "serve.py"), ".", "", "")
    for _try in range(600):
        if (home(land) / "port").exists():
            break
        await asyncio.sleep(0.1)
    return int((home(land) / "port").read_text())


@asynccontextmanager
async def gpurent(land: World, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as it runs in a terminal, until it is interrupted."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gpurent.cli.main",
        *arguments,
        cwd=land.home,
        env={**land.environment(), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        found = (await process.stdout.readline()).decode().strip()
    if not found and process.stderr is not None:
        raise AssertionError((await process.stderr.read()).decode())
    return found


async def fetch(url: str, size: int = 0) -> str:
    """Until it answers: a line that was cut takes a moment to come back."""
    async with asyncio.timeout(60), httpx2.AsyncClient() as client:
        while True:
            try:
                return (await client.get(url, headers={"x-size": str(size)}, timeout=20)).text
            except httpx2.TransportError:
                await asyncio.sleep(0.2)


async def test_a_page_of_the_machine_before_and_after_a_cut(tmp_path: Path) -> None:
    async with world(tmp_path) as land, renting(land) as (application, lease):
        there = await serving(land, application, lease)
        async with gpurent(land, "forward", lease, f"0:{there}", f"0:{there}") as process:
            first, second = await line(process), await line(process)
            assert first.startswith("http://127.0.0.1:")
            assert first != second
            assert await fetch(f"{first}a") == "here is /a"
            assert await fetch(f"{second}b") == "here is /b"
            assert len(await fetch(f"{first}big", 3_000_000)) > 3_000_000
            for _again in range(2):
                assert await land.cloud.cut() >= 1
                assert await fetch(f"{first}back") == "here is /back"
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                _out, err = await process.communicate()
            assert process.returncode == 0
            assert "line is lost" in err.decode()
            assert "Closed." in err.decode()
            with pytest.raises(httpx2.ConnectError):
                async with httpx2.AsyncClient() as client:
                    await client.get(first)


async def test_a_port_where_nothing_listens_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as land, renting(land) as (application, lease):
        there = await serving(land, application, lease)
        async with gpurent(land, "forward", lease, "0:1", f"0:{there}", "--json") as process:
            first, second = json.loads(await line(process))["data"]
            assert (first["port"], second["port"]) == (1, there)
            async with httpx2.AsyncClient() as client:
                with pytest.raises(httpx2.TransportError):
                    await client.get(first["url"])
            assert await fetch(second["url"]) == "here is /"
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                _out, err = await process.communicate()
            assert "port 1 on the machine refused" in err.decode()


async def test_it_ends_with_the_machine_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as land, renting(land) as (application, lease):
        there = await serving(land, application, lease)
        async with gpurent(land, "forward", lease, f"0:{there}") as process:
            await line(process)
            await application.releases.release(lease)
            async with asyncio.timeout(60):
                _out, err = await process.communicate()
            assert process.returncode == 6
            assert "is not running" in err.decode()


async def test_a_port_taken_here_is_a_usage_error(tmp_path: Path) -> None:
    async with world(tmp_path) as land, renting(land) as (_service, lease):
        taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        said = await land.cli("forward", lease, str(port))
        taken.close()
        assert said.code == 2
        assert f":{port}" in said.err
        assert (await land.cli("forward", lease, "0:99999")).code == 2
        assert (await land.cli("forward", lease, "8888:-1")).code == 2


def test_others_get_in_only_with_a_warning() -> None:
    assert exposure_warning("127.0.0.1") == exposure_warning("::1") == exposure_warning("localhost") == ""
    assert "0.0.0.0" in exposure_warning("0.0.0.0")
    assert browser_host("0.0.0.0") == "127.0.0.1"
    assert browser_host("::1") == "[::1]"

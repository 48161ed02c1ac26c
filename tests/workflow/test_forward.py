"""Ports of a machine on this computer: a real HTTP server, real connections, real drops, the real command."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from gpurent.composition.application import Application
from gpurent.domain.trip import JobSpec, TripSpec
from gpurent.workflow.connection.port_forwarding import browser_host, exposure_warning
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

# Writes the port that it got to a file: two machines on one computer must not compete for one port.
SERVER_SCRIPT = """
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
async def rented_machine(sandbox: TripSandbox) -> AsyncIterator[tuple[Application, str]]:
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "20")
        yield application, (await application.trips.rent(TripSpec(provider="mistgpu"))).id


def get_machine_home(sandbox: TripSandbox) -> Path:
    (machine,) = sandbox.cloud.driver.list_machines()
    return Path(machine.home)


async def start_server(sandbox: TripSandbox, application: Application, lease: str) -> int:
    """Start a real HTTP server as a job on the machine; return its port there."""
    (get_machine_home(sandbox) / "serve.py").write_text(SERVER_SCRIPT)
    await application.machine_commands.start_job(lease, "web", JobSpec(command=("python3", "serve.py")), ".")
    for _try in range(600):
        if (get_machine_home(sandbox) / "port").exists():
            break
        await asyncio.sleep(0.1)
    return int((get_machine_home(sandbox) / "port").read_text())


async def read_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        found = (await process.stdout.readline()).decode().strip()
    if not found and process.stderr is not None:
        raise AssertionError((await process.stderr.read()).decode())
    return found


async def fetch_page(url: str, size: int = 0) -> str:
    """Fetch the page, retrying until it answers: a dropped connection takes a moment to come back."""
    async with asyncio.timeout(60), httpx2.AsyncClient() as client:
        while True:
            try:
                return (await client.get(url, headers={"x-size": str(size)}, timeout=20)).text
            except httpx2.TransportError:
                await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(one, marks=pytest.mark.nightly) for one in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
async def test_a_signal_gives_the_exit_code_and_what_costs_money_is_said(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C is how these commands are meant to end; the other signals keep their own codes."""
    watched = tmp_path / "folder"
    watched.mkdir()
    (watched / "train.py").write_text("one")
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_application, lease):
        command: tuple[str, ...] = ("forward", lease, "0:1")
        if number is signal.SIGHUP:
            command = ("push", lease, str(watched), "--watch")
        async with sandbox.running_command(*command) as process:
            await read_line(process)
            process.send_signal(number)
            async with asyncio.timeout(30):
                _out, err = await process.communicate()
        assert process.returncode == (0 if number is signal.SIGINT else 128 + number)
        assert f"{lease} still costs money. Release it with: gpurent release {lease}" in err.decode()
        assert "Stopped.\n" not in err.decode()


async def test_a_page_of_the_machine_before_and_after_a_cut(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (application, lease):
        server = await start_server(sandbox, application, lease)
        async with sandbox.running_command("forward", lease, f"0:{server}", f"0:{server}") as process:
            first, second = await read_line(process), await read_line(process)
            assert first.startswith("http://127.0.0.1:")
            assert first != second
            assert await fetch_page(f"{first}a") == "here is /a"
            assert await fetch_page(f"{second}b") == "here is /b"
            assert len(await fetch_page(f"{first}big", 3_000_000)) > 3_000_000
            for _attempt in range(2):
                assert await sandbox.cloud.cut_connections() >= 1
                assert await fetch_page(f"{first}back") == "here is /back"
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                _out, err = await process.communicate()
            assert process.returncode == 0
            assert "connection lost" in err.decode()
            assert "Closed." in err.decode()
            with pytest.raises(httpx2.ConnectError):
                async with httpx2.AsyncClient() as client:
                    await client.get(first)


@pytest.mark.nightly
async def test_a_port_where_nothing_listens_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (application, lease):
        server = await start_server(sandbox, application, lease)
        async with sandbox.running_command("forward", lease, "0:1", f"0:{server}", "--json") as process:
            first, second = json.loads(await read_line(process))["data"]
            assert (first["port"], second["port"]) == (1, server)
            async with httpx2.AsyncClient() as client:
                with pytest.raises(httpx2.TransportError):
                    await client.get(first["url"])
            assert await fetch_page(second["url"]) == "here is /"
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                _out, err = await process.communicate()
            assert "port 1 on the machine refused" in err.decode()


@pytest.mark.nightly
async def test_it_ends_with_the_machine_and_says_so(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (application, lease):
        server = await start_server(sandbox, application, lease)
        async with sandbox.running_command("forward", lease, f"0:{server}") as process:
            await read_line(process)
            await application.releases.release_lease(lease)
            async with asyncio.timeout(60):
                _out, err = await process.communicate()
            assert process.returncode == 6
            assert "is not running" in err.decode()


async def test_a_port_taken_here_is_a_usage_error(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_service, lease):
        taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        result = await sandbox.run_command("forward", lease, str(port))
        taken.close()
        assert result.code == 2
        assert f":{port}" in result.err
        assert (await sandbox.run_command("forward", lease, "0:99999")).code == 2
        assert (await sandbox.run_command("forward", lease, "8888:-1")).code == 2


def test_access_from_other_computers_shows_a_warning() -> None:
    assert exposure_warning("127.0.0.1") == exposure_warning("::1") == exposure_warning("localhost") == ""
    assert "0.0.0.0" in exposure_warning("0.0.0.0")
    assert browser_host("0.0.0.0") == "127.0.0.1"
    assert browser_host("::1") == "[::1]"

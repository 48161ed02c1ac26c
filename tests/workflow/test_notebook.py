"""A notebook server on a machine: found, installed with consent, started once, reached, ended.

The normal suite uses a fake ``jupyter``: a real HTTP server with the real one's options, environment and runtime file.
The nightly test installs the real JupyterLab with pip.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from gpurent.domain.job import JobState
from gpurent.testing.load_timeouts import wait_until
from tests.workflow.test_forward import (
    fetch_page,
    get_machine_home,
    read_line,
    rented_machine,
)
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

FAKE_JUPYTER = r"""#!/usr/bin/env python3
# A stand-in for jupyter: enough of it to be started, found and asked. It is no notebook.
import http.server, json, os, sys
from urllib.parse import parse_qs, urlsplit
if "--version" in sys.argv:
    sys.exit(print("4.0.0 (stand-in)"))
token = os.environ["JUPYTER_TOKEN"]
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        good = parse_qs(parts.query).get("token") == [token]
        body = (json.dumps(sys.argv) if good else "who are you?").encode()
        self.send_response(200 if good else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
folder = os.environ["JUPYTER_RUNTIME_DIR"]
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, "jpserver-%d.json" % os.getpid()), "w") as file:
    json.dump({"port": server.server_port, "token": token, "pid": os.getpid()}, file, indent=1)
server.serve_forever()
"""

# Does what `pip install` would have done, in place of pip's module; prints what was requested.
FAKE_PIP = r"""
import pathlib, sys
home = pathlib.Path.home()
(home / "pip.log").write_text(" ".join(sys.argv[1:]))
target = home / ".local/bin/jupyter"
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text((home / "stand-in").read_text())
target.chmod(0o755)
"""


def install_fake_jupyter(sandbox: TripSandbox, *, installed: bool) -> None:
    """Put the fake on the machine, already installed or ready to be installed."""
    base = get_machine_home(sandbox)
    (base / "stand-in").write_text(FAKE_JUPYTER)
    if installed:
        program = base / ".local" / "bin" / "jupyter"
        program.parent.mkdir(parents=True)
        program.write_text(FAKE_JUPYTER)
        program.chmod(0o755)
        return
    (base / ".pip").mkdir()
    (base / ".pip" / "pip.py").write_text(FAKE_PIP)
    with (base / ".profile").open("a") as file:
        file.write(f"export PYTHONPATH={base}/.pip\n")
    with (base / ".bashrc").open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(f"export PYTHONPATH={base}/.pip\n{text}")


def list_command_lines() -> list[tuple[str, str]]:
    """Return the argument list of every process here, including the machine's: an embedded one shares our processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append((path.parent.name, path.read_bytes().decode("utf-8", "replace")))
    return found


async def interrupt(process: asyncio.subprocess.Process) -> str:
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return err.decode()


async def test_it_is_started_once_reached_over_a_cut_and_ended(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (application, lease):
        install_fake_jupyter(sandbox, installed=True)
        async with sandbox.running_command("jupyter", lease, "--json") as process:
            first = json.loads(await read_line(process))["data"]
            assert first["started"] is True
            parts = urlsplit(first["url"])
            assert (parts.hostname, parts.path) == ("127.0.0.1", "/lab")
            token = parse_qs(parts.query)["token"][0]
            assert len(token) == 48
            argv = json.loads(await fetch_page(first["url"]))
            assert "--ip=127.0.0.1" in argv
            assert [pid for pid, arguments in list_command_lines() if "--ip=127.0.0.1" in arguments]
            assert not [pid for pid, arguments in list_command_lines() if token in arguments]
            await sandbox.cloud.cut_connections()
            assert json.loads(await fetch_page(first["url"])) == argv
            async with httpx2.AsyncClient() as client:
                assert (await client.get(first["url"].partition("?")[0])).status_code == 403
            await interrupt(process)

        async with sandbox.running_command("jupyter", lease, "--no-browser") as process:
            again = await read_line(process)
            assert parse_qs(urlsplit(again).query)["token"] == [token]
            await interrupt(process)

        assert (await sandbox.run_command("jupyter", lease, "--stop", "--json")).data == {
            "stopped": first["job"]
        }
        status = await application.machine_commands.show_log(lease, first["job"], follow=False)
        assert status.state is not JobState.RUNNING
        assert (await sandbox.run_command("jupyter", lease, "--stop", "--json")).data == {"stopped": ""}
        async with sandbox.running_command("jupyter", lease, "--json") as process:
            fresh = json.loads(await read_line(process))["data"]
            assert fresh["job"] != first["job"]
            assert token not in fresh["url"]
            await interrupt(process)


@pytest.mark.nightly
async def test_the_browser_is_led_to_it_without_its_token(tmp_path: Path) -> None:
    """The command line of a process can be read by every user; a private file cannot."""
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\nprintf "%s" "$1" >{browser}.argv\n'
        f'cat "${{1#file://}}" >{browser}.new\nmv {browser}.new {browser}.page\n'
    )
    browser.chmod(0o755)
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_service, lease):
        install_fake_jupyter(sandbox, installed=True)
        sandbox.extra_environment["BROWSER"] = str(browser)
        master, terminal = os.openpty()
        process = await sandbox.start_command("jupyter", lease, stdout=terminal)
        os.close(terminal)
        shown = b""
        while b"\n" not in shown:
            shown += await asyncio.to_thread(os.read, master, 4096)
        url = shown.decode().strip()
        page = tmp_path / "browser.page"

        async def is_shown() -> bool:
            return page.exists()

        await wait_until(is_shown)
        argv = (tmp_path / "browser.argv").read_text()
        assert argv.startswith(f"file://{sandbox.home}/state/pages/")
        assert parse_qs(urlsplit(url).query)["token"][0] not in argv
        assert html.escape(url) in page.read_text()
        await interrupt(process)
        os.close(master)
        assert list((sandbox.home / "state" / "pages").iterdir()) == []


@pytest.mark.nightly
async def test_what_is_missing_is_installed_only_by_consent(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_service, lease):
        install_fake_jupyter(sandbox, installed=False)
        result = await sandbox.run_command("jupyter", lease)
        assert result.code == 2
        assert "--install" in result.err
        assert not (get_machine_home(sandbox) / "pip.log").exists()
        async with sandbox.running_command("jupyter", lease, "--install", "--json") as process:
            found = json.loads(await read_line(process))["data"]
            assert json.loads(await fetch_page(found["url"]))
            await interrupt(process)
        asked = (get_machine_home(sandbox) / "pip.log").read_text().split()
        assert asked[0] == "install"
        assert asked[-2:] == ["--user", "jupyterlab"]


async def test_a_server_that_ends_at_once_is_reported_with_its_output(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_service, lease):
        install_fake_jupyter(sandbox, installed=True)
        broken = FAKE_JUPYTER.replace("token = os", "sys.exit('no space for notebooks')\ntoken = os")
        (get_machine_home(sandbox) / ".local" / "bin" / "jupyter").write_text(broken)
        result = await sandbox.run_command("jupyter", lease)
        assert result.code == 7
        assert "no space for notebooks" in result.err
        assert "gpurent logs" in result.err


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_real_jupyterlab(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_service, lease):
        async with sandbox.running_command("jupyter", lease, "--install", "--json") as process:
            assert process.stdout is not None
            output = await asyncio.wait_for(process.stdout.readline(), 800)
            if not output and process.stderr is not None:
                pytest.fail((await process.stderr.read()).decode())
            url = json.loads(output)["data"]["url"]
            parts = urlsplit(url)
            base, token = f"{parts.scheme}://{parts.netloc}", parse_qs(parts.query)["token"][0]
            async with httpx2.AsyncClient(base_url=base, timeout=60) as client:
                assert (await client.get("/api/kernelspecs")).status_code == 403
                answer = await client.get("/api/kernelspecs", params={"token": token})
                assert "python3" in answer.json()["kernelspecs"]
                assert "JupyterLab" in (await client.get("/lab", params={"token": token})).text
                await sandbox.cloud.cut_connections()
            assert "kernelspecs" in await fetch_page(f"{base}/api/kernelspecs?token={token}")
            assert not [pid for pid, argv in list_command_lines() if token in argv]
            await interrupt(process)
        assert (await sandbox.run_command("jupyter", lease, "--stop", "--json")).data["stopped"]

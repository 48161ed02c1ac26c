"""Leaving a trip and coming back: detach, Ctrl-C, resume from another terminal. And nothing secret left lying about."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.workflow.world import World, world


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=60) as made:
        yield made


CANARY = "student-pass"


async def enter(land: World) -> None:
    said = await land.cli(
        "login", "mistgpu", "-f", "username=student", "--stdin", "password", given=f"{CANARY}\n"
    )
    assert said.code == 0, said.err
    way = (await land.cli("topup", "mistgpu", "10", "--json")).data
    async with httpx2.AsyncClient() as client:
        assert (await client.post(f"{way['url']}/settle")).status_code == 200


def job(tmp_path: Path, seconds: float) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    text = (
        "import time\n"
        "for i in range(20):\n"
        "    print(i, flush=True)\n"
        f"    time.sleep({seconds / 20})\n"
        "open('result.txt', 'w').write('done')\n"
    )
    (folder / "train.py").write_text(text)
    return folder


async def test_detach_then_resume_from_another_terminal(land: World, tmp_path: Path) -> None:
    await enter(land)
    folder = job(tmp_path, 2)
    said = await land.cli(
        "run",
        "-p",
        "mistgpu",
        "--detach",
        "--results",
        "result.txt",
        "--json",
        "--",
        "train.py",
        folder=folder,
    )
    assert said.code == 0, said.err
    assert said.data["under_way"] is True
    (trip,) = (await land.cli("trips", "--json")).data
    assert trip["outcome"] == ""
    assert len(land.cloud.burning()) == 1
    said = await land.cli("resume", trip["id"], "--json", folder=folder)
    assert said.code == 0, said.err
    assert said.data["exit_code"] == 0
    assert (folder / "result.txt").read_text() == "done"
    assert "19" in said.err, "the job's output stays off the JSON document's stream"
    assert list(land.cloud.burning()) == []
    again = await land.cli("resume", trip["id"])
    assert again.code == 2


async def test_ctrl_c_detaches_and_says_how_to_come_back(land: World, tmp_path: Path) -> None:
    await enter(land)
    folder = job(tmp_path, 6)
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "gpurent.cli.main",
            "run",
            "-p",
            "mistgpu",
            "--results",
            "result.txt",
            "--",
            "train.py",
        ),
        cwd=folder,
        env={**land.environment(), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while (line := await process.stdout.readline()) and line.strip() != b"3":
        continue
    process.send_signal(signal.SIGINT)
    _out, err = await process.communicate()
    assert process.returncode == 130
    assert b"gpurent resume" in err
    assert b"still cost money" in err
    assert len(land.cloud.burning()) == 1
    said = await land.cli("resume", folder=folder)
    assert said.code == 0, said.err
    assert (folder / "result.txt").read_text() == "done"
    assert list(land.cloud.burning()) == []


def running() -> bytes:
    """The argument lists of every process."""
    found = b""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found += (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return found


async def test_no_secret_in_files_logs_or_argument_lists(land: World, tmp_path: Path) -> None:
    await enter(land)
    lease = (await land.cli("-vv", "rent", "-p", "mistgpu", "--json")).data["id"]
    async with land.application() as application:
        vault = application.secrets.scoped("mistgpu")
        password = vault.get(application.leases.find_lease(lease).password_ref)
        assert password is not None
        token = application.logins.stored("mistgpu")
        assert token is not None
        secrets = [CANARY.encode(), password.reveal().encode(), token.token.reveal().encode()]
    said = await land.cli(
        "-vv", "exec", lease, "cat /proc/self/environ; cat ~/.bash_history 2>/dev/null; true"
    )
    shown = (said.out + said.err).encode()
    state = {path: path.read_bytes() for path in (land.home / "state").rglob("*") if path.is_file()}
    arguments = running()
    for secret in secrets:
        assert secret not in shown
        assert secret not in arguments
        assert [path for path, data in state.items() if secret in data] == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in state)
    assert (await land.cli("release", lease)).code == 0

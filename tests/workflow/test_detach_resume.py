"""Leaving a trip and coming back: detach, Ctrl-C, resume from another terminal. No secret is left behind."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        yield made


CANARY = "student-pass"


async def log_in_with_money(sandbox: TripSandbox) -> None:
    result = await sandbox.run_command(
        "login", "mistgpu", "-f", "username=student", "--stdin", "password", input_text=f"{CANARY}\n"
    )
    assert result.code == 0, result.err
    top_up = (await sandbox.run_command("topup", "mistgpu", "10", "--json")).data
    async with httpx2.AsyncClient() as client:
        assert (await client.post(f"{top_up['url']}/settle")).status_code == 200


def make_job(tmp_path: Path, seconds: float) -> Path:
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


async def test_detach_then_resume_from_another_terminal(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    folder = make_job(tmp_path, 2)
    result = await sandbox.run_command(
        "-y",
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
    assert result.code == 0, result.err
    assert result.data["job_running"] is True
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    assert trip["outcome"] == ""
    assert len(sandbox.cloud.burning()) == 1
    result = await sandbox.run_command("resume", trip["id"], "--json", folder=folder)
    assert result.code == 0, result.err
    assert result.data["exit_code"] == 0
    assert (folder / "result.txt").read_text() == "done"
    assert "19" in result.err, "the job's output stays off the JSON document's stream"
    assert list(sandbox.cloud.burning()) == []
    again = await sandbox.run_command("resume", trip["id"])
    assert again.code == 2


@pytest.mark.nightly
async def test_ctrl_c_detaches_and_says_how_to_come_back(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    folder = make_job(tmp_path, 6)
    process = await sandbox.start_command(
        *("-y", "run", "-p", "mistgpu", "--results", "result.txt", "--", "train.py"), folder=folder
    )
    assert process.stdout is not None
    while (line := await process.stdout.readline()) and line.strip() != b"3":
        continue
    process.send_signal(signal.SIGINT)
    _out, err = await process.communicate()
    assert process.returncode == 130
    assert b"gpurent resume" in err
    assert b"The job keeps running on" in err
    assert b"which costs money" in err
    assert len(sandbox.cloud.burning()) == 1
    result = await sandbox.run_command("resume", folder=folder)
    assert result.code == 0, result.err
    assert (folder / "result.txt").read_text() == "done"
    assert list(sandbox.cloud.burning()) == []


def read_all_command_lines() -> bytes:
    """Return the argument lists of every process."""
    found = b""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found += (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return found


async def test_no_secret_in_files_logs_or_argument_lists(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    lease = (await sandbox.run_command("-y", "-vv", "rent", "-p", "mistgpu", "--json")).data["id"]
    async with sandbox.open_application() as application:
        vault = application.secrets.get_vault("mistgpu")
        password = vault.get((await application.leases.get_lease(lease)).password_ref)
        assert password is not None
        token = application.logins.find_login("mistgpu")
        assert token is not None
        secrets = [CANARY.encode(), password.reveal().encode(), token.token.reveal().encode()]
    result = await sandbox.run_command(
        "-vv", "exec", lease, "cat /proc/self/environ; cat ~/.bash_history 2>/dev/null; true"
    )
    output = (result.out + result.err).encode()
    state = {path: path.read_bytes() for path in (sandbox.home / "state").rglob("*") if path.is_file()}
    arguments = read_all_command_lines()
    for secret in secrets:
        assert secret not in output
        assert secret not in arguments
        assert [path for path, data in state.items() if secret in data] == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in state)
    assert (await sandbox.run_command("release", lease)).code == 0

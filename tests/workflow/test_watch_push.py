"""Keeping a folder in sync: a real watch, a real machine, a dropped connection, the real command until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.transfer import PushRequest, TransferReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import PluginError, UsageError
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


@asynccontextmanager
async def rented_machine(sandbox: TripSandbox) -> AsyncIterator[tuple[Application, str, Path]]:
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "20")
        lease = (await application.trips.rent(TripSpec(provider="mistgpu"))).id
        (machine,) = sandbox.cloud.driver.list_machines()
        yield application, lease, Path(machine.home)


async def wait_until_true(process: asyncio.subprocess.Process, condition: Callable[[], bool]) -> None:
    for _try in range(400):
        if condition():
            return
        if process.returncode is not None:
            out, err = await process.communicate()
            raise AssertionError((out + err).decode())
        await asyncio.sleep(0.1)
    raise AssertionError("it was never in step")


def make_project(tmp_path: Path) -> Path:
    folder = tmp_path / ".gpurent" / "project"  # ignored names in its own path do not matter
    folder.mkdir(parents=True)
    (folder / "train.py").write_text("one")
    (folder / "old.py").write_text("old")
    (folder / ".gitignore").write_text("*.log\n")
    return folder


@pytest.mark.nightly
async def test_edits_are_pushed_until_ctrl_c(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (_service, lease, home):
        target = home / "work" / "project"
        async with sandbox.running_command(
            "push", lease, str(folder), "--to", "work", "--delete", "--watch"
        ) as process:
            await wait_until_true(process, (target / "old.py").exists)
            (target / "job.log").write_text("the job's own")
            (folder / "train.py").write_text("two, longer")
            await wait_until_true(process, lambda: (target / "train.py").read_text() == "two, longer")
            (folder / "new").mkdir()
            (folder / "new" / "data.txt").write_text("data")
            await wait_until_true(process, (target / "new" / "data.txt").exists)
            (folder / "old.py").unlink()
            await wait_until_true(process, lambda: not (target / "old.py").exists())
            assert await sandbox.cloud.cut_connections() >= 1
            (folder / "train.py").write_text("three, after a cut")
            await wait_until_true(process, lambda: (target / "train.py").read_text() == "three, after a cut")
            assert (target / "job.log").exists()
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                out, err = await process.communicate()
        assert process.returncode == 0
        assert "Deleted on the machine: project/old.py" in out.decode()
        assert "Stopped watching" in err.decode()
        assert "Traceback" not in err.decode()


async def test_a_dry_run_lists_and_takes_nothing(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    async with trip_sandbox(tmp_path) as sandbox, rented_machine(sandbox) as (application, lease, home):
        await application.file_commands.push(lease, PushRequest(sources=(folder,), target="work"))
        (folder / "old.py").unlink()
        result = await sandbox.run_command(
            "push", lease, str(folder), "--to", "work", "--delete", "--dry-run"
        )
        assert result.code == 0, result.err
        assert result.out.strip() == "Would be deleted on the machine: project/old.py"
        assert (home / "work" / "project" / "old.py").exists()
        wrong = await sandbox.run_command("push", lease, str(folder), "--dry-run")
        assert wrong.code == 2
        assert "--delete" in wrong.err


async def test_only_folders_are_watched_and_a_missing_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_project(tmp_path)
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        files, reports = application.file_commands, list[TransferReport]()
        with pytest.raises(UsageError, match="not a folder"):
            await files.watch_push(
                "none", PushRequest(sources=(folder / "train.py",), target="work"), reports.append
            )
        monkeypatch.setitem(sys.modules, "watchfiles", None)
        with pytest.raises(PluginError) as caught:
            await files.watch_push("none", PushRequest(sources=(folder,), target="work"), reports.append)
        assert "gpurent[watch]" in caught.value.hint

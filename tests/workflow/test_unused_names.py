"""Files that would run by themselves here arrive in an archive, however they come, and every command says so."""

from __future__ import annotations

import json
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.testing.shared_sandbox import CommandLineResult
from tests.workflow.test_failures import check_nothing_burns, log_in_with_money, make_project
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

WRITE_HOOKS = """\
import os
os.makedirs("out/.git/hooks")
for name in ("out/.git/hooks/pre-commit", "out/.envrc", "out/a.txt"):
    with open(name, "w") as file:
        file.write(name)
os.chmod("out/.git/hooks/pre-commit", 0o755)
os.symlink("a.txt", "out/.exrc")
"""
KEPT = {"out/.git/hooks/pre-commit", "out/.envrc"}
RUN = ("run", "-p", "mistgpu", "--results", "out")


def find_kinds(data: Any) -> dict[str, tuple[str, str | None]]:
    return {item["name"]: (item["kind"], item["problem"]) for item in data["skipped"]}


def check_folder(folder: Path, archive: str) -> None:
    """Check that only the harmless file has its own name, and that the others are in the archive alone."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    assert files == {"out/a.txt", "left-out.tar"}
    assert not (folder / "out" / ".git").exists()
    assert archive == str(folder / "left-out.tar")
    with tarfile.open(archive) as found:
        names = {member.name: member.mode for member in found.getmembers()}
    assert {name[name.index("out/") :]: mode for name, mode in names.items()} == dict.fromkeys(KEPT, 0o600)


async def run_trip(sandbox: TripSandbox, folder: Path, *more: str) -> CommandLineResult:
    return await sandbox.run_command("-y", "--json", *RUN, *more, "--", "train.py", folder=folder)


async def test_run_pull_and_trips_show_tell_the_same(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train=WRITE_HOOKS)
        home, other = tmp_path / "home", tmp_path / "other"
        ran = (await run_trip(sandbox, folder, "--keep", "--results-dir", str(home))).data
        expected = {**dict.fromkeys(KEPT, ("archived", "auto-run")), "out/.exrc": ("link", None)}
        expected["out/.git"] = expected["out/.git/hooks"] = ("other", None)
        assert find_kinds(ran) == expected
        check_folder(home, ran["archive"])
        shown = (await sandbox.run_command("--json", "trips", "show", ran["trip"])).data
        assert (shown["skipped"], shown["archive"]) == (ran["skipped"], ran["archive"])
        text = (await sandbox.run_command("trips", "show", ran["trip"])).out
        assert f"In {home}/left-out.tar: out/.envrc: other programs would run it" in text
        source = f"{ran['machine_folder']}/out"
        pulled = (await sandbox.run_command("--json", "pull", ran["lease"], source, "--to", str(other))).data
        assert find_kinds(pulled) == expected
        check_folder(other, pulled["archive"])
        assert (await sandbox.run_command("-y", "release", ran["lease"])).code == 0
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_downloads_while_the_job_runs_and_by_the_guard_tell_it_too(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        first, second = tmp_path / "first", tmp_path / "second"
        wait = (
            f"import time\nwhile not os.path.exists({str(first / 'left-out.tar')!r}):\n    time.sleep(0.05)\n"
        )
        folder = make_project(tmp_path, train=WRITE_HOOKS + wait)
        every = await run_trip(sandbox, folder, "--results-every", "10m", "--results-dir", str(first))
        assert every.code == 0, "the job ended, so the archive came while it ran"
        assert "in " + str(first / "left-out.tar") in every.err
        check_folder(first, every.data["archive"])
        left = json.loads((await run_trip(sandbox, folder, "--detach", "--results-dir", str(second))).out)
        watched = await sandbox.run_command("watch", "--once")
        assert watched.code == 0, watched.err
        assert "in " + str(second / "left-out.tar") in watched.out + watched.err
        check_folder(second, str(second / "left-out.tar"))
        shown = (await sandbox.run_command("--json", "trips", "show", left["data"]["trip"])).data
        assert set(find_kinds(shown)) > KEPT
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_what_the_guard_saves_before_it_ends_a_machine_is_told_too(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=120) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        home = tmp_path / "home"
        folder = make_project(tmp_path, train=WRITE_HOOKS + "import time\ntime.sleep(600)\n")
        options = ("--detach", "--deadline", "1h", "--results-dir", str(home))
        left = (await run_trip(sandbox, folder, *options)).data
        while not (
            await sandbox.run_command("exec", left["lease"], "--", f"ls {left['machine_folder']}/out/.exrc")
        ).out:
            pass
        await sandbox.cloud.advance(timedelta(hours=1))
        watched = await sandbox.run_command("watch", "--once")
        assert "left-out.tar" in watched.err, watched
        check_folder(home, str(home / "left-out.tar"))
        trips = (await sandbox.run_command("--json", "trips")).data
        (ending,) = [trip["id"] for trip in trips if trip["kind"] == "guard" and "deadline" in trip["id"]]
        shown = (await sandbox.run_command("--json", "trips", "show", ending)).data
        assert set(find_kinds(shown)) > KEPT
        check_nothing_burns(sandbox)

"""A project has one folder on a machine: what is there is not uploaded again, and what is old is no result."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gpurent.domain.transfer import TransferReport
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

JOB = """
import os, pathlib, sys, time
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
(out / "model.pt").write_text(sys.argv[1])
(out / "log.txt").write_text("x" * 2000)
print(sorted(os.listdir(".")), os.getcwd())
"""
LARGE = 300_000


def make_project(sandbox: TripSandbox, name: str = "my project") -> Path:
    folder = sandbox.home / name
    folder.mkdir(parents=True)
    (folder / "job.py").write_text(JOB)
    (folder / "data.bin").write_bytes(os.urandom(LARGE))
    (folder / ".gitignore").write_text("out/\nresults/\n")
    return folder


async def run(sandbox: TripSandbox, folder: Path, *options: str, command: tuple[str, ...]) -> Any:
    ran = await sandbox.run_command("-y", "--json", "run", *options, "--", *command, folder=folder)
    return json.loads(ran.out)


async def read_upload(sandbox: TripSandbox, trip: str) -> TransferReport:
    async with sandbox.open_application() as application:
        found = await application.store.find_step_value(trip, "leg0.upload", TransferReport)
    assert found is not None
    return found


def job(word: str) -> tuple[str, ...]:
    return ("python3", "job.py", word)


async def test_only_what_has_changed_is_uploaded_to_a_kept_machine(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        folder = make_project(sandbox)
        keep = ("--keep", "--results", "out")
        first = (await run(sandbox, folder, "-p", "mistgpu", *keep, command=job("one")))["data"]
        assert first["machine_folder"].startswith("gpurent/my-project-")
        assert (await read_upload(sandbox, first["trip"])).sent > LARGE
        assert first["results"] == {
            "folder": str(folder),
            "files": 2,
            "bytes": 2003,
            "items": [{"path": "out", "files": 2, "size": 2003}],
        }
        (folder / "job.py").write_text(JOB + "# changed\n")
        again = ("--lease", first["lease"], *keep, "--results-dir", "results/{trip}")
        second = (await run(sandbox, folder, *again, command=job("two")))["data"]
        assert second["machine_folder"] == first["machine_folder"]
        report = await read_upload(sandbox, second["trip"])
        assert report.sent < 2000
        assert report.resumed >= LARGE
        place = folder / "results" / second["trip"]
        assert second["results"]["folder"] == str(place)
        assert (place / "out" / "model.pt").read_text() == "two"
        assert (folder / "out" / "model.pt").read_text() == "one"
        shown = await sandbox.run_command("trips", "show", second["trip"])
        assert f"Results in {place}:\n  out (2 files, " in shown.out
        assert f"folder on the machine: {second['machine_folder']}" in shown.out
        fresh = (await run(sandbox, folder, *again, "--fresh", command=job("three")))["data"]
        assert fresh["machine_folder"] == f"gpurent/{fresh['trip']}"
        assert (await read_upload(sandbox, fresh["trip"])).resumed == 0
        assert (await sandbox.run_command("-y", "release", first["lease"])).code == 0


async def test_what_an_earlier_job_has_left_is_no_result(tmp_path: Path) -> None:
    """Otherwise the machine would go with what the job wrote elsewhere."""
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        folder = make_project(sandbox)
        wanted = ("--results", "out", "--results", "out/*.pt", "--results", "data.bin")
        first = (await run(sandbox, folder, "-p", "mistgpu", "--keep", *wanted, command=job("one")))["data"]
        again = ("--lease", first["lease"], "--keep", *wanted)
        missing = await run(sandbox, folder, *again, command=("true",))
        error = missing["error"]
        assert error["code"] == "results-missing"
        assert "out is from before the job, which has changed nothing in it" in error["hint"]
        assert "out/*.pt does not exist on the machine" in error["hint"]
        assert "data.bin" not in error["hint"], "it was uploaded, and need not change"
        assert first["machine_folder"] in error["hint"]
        (trip,) = [
            row["id"] for row in (await sandbox.run_command("trips", "--json")).data if row["outcome"] == ""
        ]
        other = (await run(sandbox, folder, *again, command=job("two")))["data"]
        assert other["machine_folder"] == f"gpurent/{other['trip']}", "what is there is not touched meanwhile"
        resumed = await sandbox.run_command("resume", trip, "--no-results")
        assert resumed.code == 0, resumed.err
        changed = (await run(sandbox, folder, *again, command=job("three")))["data"]
        assert changed["machine_folder"] == first["machine_folder"]
        assert (folder / "out" / "model.pt").read_text() == "three"
        assert (await sandbox.run_command("-y", "release", first["lease"])).code == 0


async def test_a_save_while_the_job_runs_misses_nothing_that_it_has_not_changed_yet(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        folder = make_project(sandbox)
        keep = ("--keep", "--results", "out/log.txt", "--results", "out/model.pt")
        first = (await run(sandbox, folder, "-p", "mistgpu", *keep, command=job("one")))["data"]
        again = ("--lease", first["lease"], *keep, "--detach")
        await run(sandbox, folder, *again, command=("sh", "-c", "echo two > out/log.txt; sleep 600"))
        written = f"until grep -q two {first['machine_folder']}/out/log.txt; do sleep 0.1; done"
        assert (await sandbox.run_command("exec", first["lease"], "--", "sh", "-c", written)).code == 0
        (sandbox.home / "state" / "config.toml").write_text('[guard]\nsave_before = "90h"\n')
        watched = await sandbox.run_command("watch", "--once")
        assert watched.code == 0, watched.err
        assert "downloaded results" in watched.out
        assert (folder / "out" / "log.txt").read_text() == "two\n"
        trips = (await sandbox.run_command("--json", "trips")).data
        (save,) = [row["id"] for row in trips if row["kind"] == "guard"]
        assert (
            f"Results in {folder}:\n  out/log.txt (4 B)\n"
            in (await sandbox.run_command("trips", "show", save)).out
        )
        assert (await sandbox.run_command("-y", "release", first["lease"])).code == 0


async def test_two_projects_have_two_folders(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        one, two = make_project(sandbox), make_project(sandbox, "模型")
        first = (await run(sandbox, one, "-p", "mistgpu", "--keep", command=job("one")))["data"]
        second = (await run(sandbox, two, "--lease", first["lease"], "--keep", command=job("two")))["data"]
        assert second["machine_folder"].startswith("gpurent/project-")
        assert (one / "out" / "model.pt").read_text() == "one"
        assert (two / "out" / "model.pt").read_text() == "two"
        assert (await sandbox.run_command("-y", "release", first["lease"])).code == 0

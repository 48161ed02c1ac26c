"""A file that was changed here while the job ran is never replaced: what arrives is kept beside it, and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpurent.cli.commands.top import make_lease_operations
from gpurent.domain.trip import ResultsSpec
from tests.workflow.test_failures import log_in_with_money, make_project
from tests.workflow.test_results import run_trip, warnings_of
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

# The job changes what was uploaded, while the user edits it here: the sandbox's machines are on this computer.
CHANGE_BOTH = """import os
for name in ('notes.txt', 'same.txt'):
    open(name, 'a').write('machine line\\n')
os.makedirs('out', exist_ok=True)
open('out/new.txt', 'w').write('result')
here = {here!r}
open(here + '/notes.txt', 'a').write('EDIT\\n')
open(here + '/code.txt', 'w').write('edited code')
"""
# Rounds of downloads while it runs; the user edits what the first one brought.
WRITE_TWICE = """import os, time
here = {here!r}
os.makedirs('out', exist_ok=True)
open('out/log.txt', 'w').write('first')
while not os.path.exists(here + '/out/log.txt'):
    time.sleep(0.02)
open(here + '/out/log.txt', 'w').write('my remarks')
open('out/log.txt', 'w').write('second')
while not os.path.exists(here + '/out/log.txt.from-machine'):
    time.sleep(0.02)
open('out/log.txt', 'w').write('third, longer')
"""
BESIDE = "notes.txt.from-machine"


def make_edited_project(tmp_path: Path, job: str = CHANGE_BOTH) -> Path:
    folder = make_project(tmp_path, train=job.format(here=str(tmp_path / "project")))
    for name in ("notes.txt", "same.txt", "code.txt"):
        (folder / name).write_text("v1\n")
    return folder


def check_edited_project(folder: Path) -> None:
    assert (folder / "notes.txt").read_text() == "v1\nEDIT\n"
    assert (folder / BESIDE).read_text() == "v1\nmachine line\n"
    assert (folder / "same.txt").read_text() == "v1\nmachine line\n", "it was not changed here"
    assert (folder / "out" / "new.txt").read_text() == "result"
    assert (folder / "code.txt").read_text() == "edited code"
    assert sorted(folder.glob("*.from-machine*")) == [folder / BESIDE], "of code.txt there is no new version"


@pytest.mark.parametrize(
    ("transfer", "paths"),
    [
        ("", ()),
        pytest.param("sftp", (".",), marks=pytest.mark.nightly),
        pytest.param("", ("*.txt", "out"), marks=pytest.mark.nightly),
    ],
)
async def test_an_edited_file_is_kept_and_the_result_is_beside_it(
    tmp_path: Path, transfer: str, paths: tuple[str, ...]
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        user = ScriptedUser()
        async with sandbox.open_application(user) as application:
            await log_in_with_money(sandbox, application)
            folder = make_edited_project(tmp_path)
            end = await run_trip(application, folder, transfer=transfer, results=ResultsSpec(paths=paths))
            assert end.exit_code == 0
    check_edited_project(folder)
    assert f"not replaced: notes.txt: changed on this computer; the machine's version is in {BESIDE}" in (
        warnings_of(user).replace("code.txt: changed on this computer, and not on the machine; ", "")
    )


def find_kept(data: Any) -> dict[str, str]:
    return {item["name"]: item["beside"] for item in data["skipped"] if item["kind"] == "kept"}


async def pull(sandbox: TripSandbox, run: Any, folder: Path, *names: str) -> dict[str, str]:
    paths = [f"{run['machine_folder']}/{name}" for name in names]
    pulled = await sandbox.run_command("--json", "pull", run["lease"], *paths, "--to", str(folder))
    assert pulled.code == 0
    return find_kept(pulled.data)


async def test_run_show_and_pull_tell_it_and_pull_again_adds_nothing(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_edited_project(tmp_path)
        command = ("-y", "--json", "run", "-p", "mistgpu", "--keep", "--", "train.py")
        ran = (await sandbox.run_command(*command, folder=folder)).data
        assert find_kept(ran) == {"notes.txt": BESIDE}
        shown = await sandbox.run_command("trips", "show", ran["trip"])
        assert f"Not replaced: notes.txt: changed on this computer; the machine's version is in {BESIDE}" in (
            shown.out
        )
        names = ("notes.txt", "same.txt", "code.txt")
        assert await pull(sandbox, ran, folder, *names) == {"notes.txt": BESIDE, "code.txt": ""}
        async with sandbox.open_application() as application:
            lease = await application.leases.get_lease(ran["lease"])
            sources = (f"{ran['machine_folder']}/notes.txt",)
            status = await make_lease_operations(application).pull(lease, sources, folder)
            assert (
                f"not replaced: notes.txt: changed on this computer; the machine's version is in {BESIDE}"
                in (status)
            ), "on the screen of gpurent top"
        check_edited_project(folder)
        (folder / BESIDE).write_text("merged")
        second = f"{BESIDE}-2"
        assert await pull(sandbox, ran, folder, *names) == {"notes.txt": second, "code.txt": ""}
        assert (folder / BESIDE).read_text() == "merged"
        assert (folder / second).read_text() == "v1\nmachine line\n"
        for path in folder.glob("*.txt*"):
            path.unlink()
        assert await pull(sandbox, ran, folder, *names) == {}
        assert (folder / "notes.txt").read_text() == "v1\nmachine line\n", "what was deleted here comes again"
        assert (folder / "code.txt").read_text() == "v1\n"


@pytest.mark.nightly
async def test_downloads_while_the_job_runs_keep_what_was_edited_in_between(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_edited_project(tmp_path, WRITE_TWICE)
        command = ("-y", "--json", "run", "-p", "mistgpu", "--results", "out/*", "--results-every", "3m")
        ran = await sandbox.run_command(*command, "--", "train.py", folder=folder)
        assert ran.code == 0
        assert (folder / "out" / "log.txt").read_text() == "my remarks"
        assert (folder / "out" / "log.txt.from-machine").read_text() == "third, longer"
        assert len(list((folder / "out").iterdir())) == 2
        assert find_kept(ran.data) == {"out/log.txt": "out/log.txt.from-machine"}


@pytest.mark.nightly
async def test_the_results_of_an_earlier_trip_are_replaced(tmp_path: Path) -> None:
    """A result that nobody changed is ours, whichever machine it came from, and whether it is uploaded or not."""
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        job = "import os, time\nos.makedirs('out', exist_ok=True)\nopen('out/at', 'w').write(str(time.time()))\n"
        folder = make_project(tmp_path, train=job)
        (folder / ".gitignore").write_text("/out/\n")
        results = ResultsSpec(paths=("out",))
        assert (await run_trip(application, folder, results=results)).exit_code == 0
        first = (folder / "out" / "at").read_text()
        assert (await run_trip(application, folder, results=results)).exit_code == 0
        assert (folder / "out" / "at").read_text() != first
        assert [path.name for path in (folder / "out").iterdir()] == ["at"]


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.nightly
async def test_an_edit_that_another_trip_took_along_is_kept(tmp_path: Path, fresh: bool) -> None:
    """Two trips from one folder: what the second one took along is not what the first one changed.

    It is on another machine, or in another folder of the same one.
    """
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train="open('notes.txt', 'a').write('machine line\\n')\n")
        command = ("-y", "--json", "run", "--keep", "--no-results")
        (folder / "notes.txt").write_text("v1\n")
        new = ("-p", "mistgpu", "--", "train.py")
        first = (await sandbox.run_command(*command, *new, folder=folder)).data
        (folder / "notes.txt").write_text("v2\n")
        again = ("--lease", first["lease"], "--fresh", "--", "train.py") if fresh else new
        assert (await sandbox.run_command(*command, *again, folder=folder)).code == 0
        assert await pull(sandbox, first, folder, "notes.txt") == {"notes.txt": BESIDE}
        assert (folder / "notes.txt").read_text() == "v2\n"


@pytest.mark.nightly
async def test_what_the_next_trip_sent_to_the_same_folder_is_replaced(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train="open('notes.txt', 'a').write('machine line\\n')\n")
        command = ("-y", "--json", "run", "--keep", "--no-results")
        (folder / "notes.txt").write_text("v1\n")
        first = (await sandbox.run_command(*command, "-p", "mistgpu", "--", "train.py", folder=folder)).data
        (folder / "notes.txt").write_text("v2\n")
        again = ("--lease", first["lease"], "--", "train.py")
        assert (await sandbox.run_command(*command, *again, folder=folder)).code == 0
        assert await pull(sandbox, first, folder, "notes.txt") == {}
        assert (folder / "notes.txt").read_text() == "v2\nmachine line\n"


@pytest.mark.nightly
async def test_the_guard_keeps_edited_files_too(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_edited_project(tmp_path)
        command = ("-y", "run", "-p", "mistgpu", "--detach", "--", "train.py")
        assert (await sandbox.run_command(*command, folder=folder)).code == 0
        watched = await sandbox.run_command("watch", "--once")
        assert f"not replaced: notes.txt: changed on this computer; the machine's version is in {BESIDE}" in (
            watched.out + watched.err
        )
        check_edited_project(folder)

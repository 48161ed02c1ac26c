"""Results are never lost after a job: what is missing keeps the machine's files, and `resume` brings the rest."""

from __future__ import annotations

import os
import re
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.machine_folders import find_work_folder
from gpurent.domain.money import CNY, Money
from gpurent.domain.trip import ResultsSpec
from gpurent.errors import GpurentError, LeaseGone, ResultsMissing, UsageError
from gpurent.workflow.steps import release
from tests.workflow.test_failures import check_nothing_burns, log_in_with_money, make_project, make_spec
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

WRITE_OUT = "import os\nos.makedirs('out/deep', exist_ok=True)\nopen('out/deep/a.pt', 'w').write('weights')\n"


def machine_home(sandbox: TripSandbox) -> Path:
    """Return the home folder of the only machine that was ever booted."""
    (home,) = {path.parent for path in sandbox.cloud.root.rglob("gpurent") if path.is_dir()}
    return home


async def run_trip(application: Application, folder: Path, **parts: Any) -> Any:
    return await application.trips.run(make_spec(folder, "train.py", **parts))


async def fail_trip(application: Application, folder: Path, **parts: Any) -> GpurentError:
    with pytest.raises(GpurentError) as caught:
        await run_trip(application, folder, **parts)
    return caught.value


def warnings_of(user: ScriptedUser) -> str:
    return "\n".join(event.text for event in user.events if event.kind is EventKind.WARNING)


async def test_a_wrong_name_keeps_the_files_and_resume_brings_them(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train=WRITE_OUT)
        error = await fail_trip(application, folder, results=ResultsSpec(paths=("uot", "train.py")))
        assert isinstance(error, ResultsMissing)
        assert "uot does not exist" in error.hint
        (trip,) = await application.trip_tracker.list_trips()
        assert trip.is_open
        assert f"gpurent resume {trip.id}" in error.hint
        assert "kept until" in error.hint
        assert error.burning == ()
        assert (await application.leases.get_lease(trip.lease)).state is LeaseState.KEPT
        check_nothing_burns(sandbox)
        end = await application.trips.resume(
            trip.id, change_results=lambda results: evolve(results, paths=("out",))
        )
        assert (end.exit_code, end.job_running) == (0, False)
        assert (folder / "out" / "deep" / "a.pt").read_text() == "weights"
        assert (await application.trip_tracker.get_trip(trip.id)).outcome_text == "done"
        assert end.lease_id != trip.lease
        check_nothing_burns(sandbox)


async def test_what_the_job_made_is_downloaded_without_being_named(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        text = WRITE_OUT + (
            "import tarfile\nopen('log.txt', 'a').write('more')\nopen('bell\\x07', 'w').write('odd')\n"
            "open('out/deep/tab\\x07', 'w').write('odd')\n"
            "os.utime('out/deep/a.pt', (1, 1))\nos.makedirs('__pycache__', exist_ok=True)\n"
            "open('__pycache__/x', 'w').write('x')\nos.symlink('/etc', 'link')\n"
        )
        folder = make_project(tmp_path, train=text, other="pass")
        (folder / "log.txt").write_text("log ")
        before = (folder / "other.py").stat().st_ino
        end = await run_trip(application, folder)
        assert end.exit_code == 0
        assert (folder / "out" / "deep" / "a.pt").read_text() == "weights"
        assert (folder / "log.txt").read_text() == "log more"
        assert (folder / "other.py").stat().st_ino == before
        assert not (folder / "__pycache__").exists()
        with tarfile.open(folder / "left-out.tar") as archive:
            assert [name.rpartition("/")[2] for name in archive.getnames()] == [
                "tab\x07",
                "bell\x07",
            ]
        assert "left-out.tar, because of their names: " in warnings_of(user)
        assert "link: symbolic link" in warnings_of(user)
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_more_than_the_limit_counts_as_missing(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train=WRITE_OUT)
        error = await fail_trip(application, folder, results=ResultsSpec(auto_limit=3))
        assert isinstance(error, ResultsMissing)
        assert "the job made 7 B" in error.hint
        assert not (folder / "out").exists()
        await application.trips.resume(change_results=lambda results: evolve(results, unwanted=True))
        check_nothing_burns(sandbox)


async def test_links_and_patterns(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        text = WRITE_OUT + (
            "home = os.path.expanduser('~')\nos.makedirs(home + '/data/run7')\n"
            "open(home + '/data/run7/big', 'w').write('data')\nos.symlink(home + '/data/run7', 'linked')\n"
            "open(home + '/data/last.pt', 'w').write('last')\nos.symlink(home + '/data/last.pt', 'best.pt')\n"
            "open('out/[1].txt', 'w').write('one')\n"
        )
        folder = make_project(tmp_path, train=text)
        results = ResultsSpec(paths=("linked", "best.pt", "out/**/*.pt", "out/[1].*"))
        end = await run_trip(application, folder, results=results)
        assert end.exit_code == 0
        assert (folder / "linked" / "big").read_text() == "data"
        assert (folder / "last.pt").read_text() == "last"
        assert (folder / "out" / "deep" / "a.pt").read_text() == "weights"
        assert (folder / "out" / "[1].txt").read_text() == "one"
        check_nothing_burns(sandbox)


async def test_a_file_in_the_way_here_keeps_the_results(tmp_path: Path) -> None:
    def block(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            (tmp_path / "home").mkdir()
            (tmp_path / "home" / "out").write_text("in the way")

    user = ScriptedUser(watchers=[block])
    results = ResultsSpec(paths=("out",), dir=str(tmp_path / "home"))
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train=WRITE_OUT)
        error = await fail_trip(application, folder, results=results)
        assert isinstance(error, ResultsMissing)
        assert "in the way" in error.hint
        check_nothing_burns(sandbox)
        (tmp_path / "home" / "out").unlink()
        assert (await application.trips.resume()).exit_code == 0
        assert (tmp_path / "home" / "out" / "deep" / "a.pt").read_text() == "weights"
        check_nothing_burns(sandbox)


@pytest.mark.parametrize("place", ["file", "file/below", "link/out"])
async def test_an_unwritable_place_is_refused_before_money_is_spent(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "out").symlink_to(tmp_path)
    results = ResultsSpec(paths=("out",), dir=str(tmp_path / place).removesuffix("/out"))
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        error = await fail_trip(application, make_project(tmp_path, train="print(1)"), results=results)
        assert isinstance(error, UsageError)
        assert [line.kind for line in sandbox.cloud.ledgers()["mistgpu"]] == ["recharge"]
        assert (await application.trip_tracker.list_trips())[-1].outcome_text == "failed: usage"


LOSE_JOB = WRITE_OUT + (
    "import glob, signal, time\n"
    "time.sleep(2)\n"
    "os.kill(int(open(glob.glob(os.path.expanduser('~/.gpurent/jobs/*/pid'))[0]).read()), signal.SIGKILL)\n"
    "time.sleep(600)\n"
)


@pytest.mark.nightly
async def test_resume_after_a_failed_clean_up_downloads_everything_and_reports_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "RELEASE_TIMEOUT", timedelta(minutes=2))
    async with trip_sandbox(tmp_path, speed=240) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train=LOSE_JOB)
        simulator_state = sandbox.get_simulator_state("mistgpu")
        original = simulator_state.shut_down

        async def broken(server: object, at: object, note: str) -> None:
            raise RuntimeError("a bad day")

        simulator_state.shut_down = broken
        error = await fail_trip(application, folder, results=ResultsSpec(paths=("out",)))
        assert isinstance(error, LeaseGone)
        (trip,) = await application.trip_tracker.list_trips()
        assert trip.is_open
        assert error.burning == (trip.lease,)
        assert (folder / "out" / "deep" / "a.pt").exists()
        late = machine_home(sandbox) / find_work_folder(trip.id, trip.spec.upload.project) / "out" / "late.pt"
        late.write_text("late")
        simulator_state.shut_down = original
        with pytest.raises(LeaseGone, match="without an exit code"):
            await application.trips.resume()
        assert (folder / "out" / "late.pt").read_text() == "late"
        assert (await application.trip_tracker.get_trip(trip.id)).outcome_text == "failed: lease-gone"
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_a_running_machine_is_kept_with_its_timer_armed_and_no_longer_than_allowed(
    tmp_path: Path,
) -> None:
    """At a provider that cannot keep the files of a machine that is shut down."""
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=240) as sandbox, sandbox.open_application(user) as application:
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "90000")
        folder = make_project(tmp_path, train=WRITE_OUT)
        spec = make_spec(folder, "train.py", results=ResultsSpec(paths=("uot",)))
        limits = evolve(spec.limits, term=timedelta(days=1), results_grace=timedelta(hours=1))
        with pytest.raises(ResultsMissing) as caught:
            await application.trips.run(evolve(spec, provider="1024gpu", limits=limits))
        (trip,) = await application.trip_tracker.list_trips()
        assert caught.value.burning == (trip.lease,)
        assert f"gpurent pull {trip.lease} gpurent/{trip.spec.upload.project} " in caught.value.hint
        timer = await application.machine_timers.find_deadline(await application.leases.get_lease(trip.lease))
        assert timer is not None
        assert timer - application.clock.now() <= timedelta(hours=1, minutes=1)
        end = await application.trips.resume(change_results=lambda it: evolve(it, paths=("out",)))
        assert (end.exit_code, end.lease_id) == (0, trip.lease)
        assert (folder / "out" / "deep" / "a.pt").read_text() == "weights"
        check_nothing_burns(sandbox)


async def test_uploads_say_what_they_leave_out(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train="print(1)")
        (folder / "outside").symlink_to("/etc/passwd")
        os.mkfifo(folder / "pipe")
        await run_trip(application, folder, results=ResultsSpec(unwanted=True))
    assert "not uploaded: outside: symbolic link" in warnings_of(user)
    assert "pipe: " in warnings_of(user)


async def test_every_printed_command_works(tmp_path: Path) -> None:
    """The hint of the error, typed as it is printed; and a machine that the user restarts belongs to the trip."""
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train=WRITE_OUT)
        trip = ("run", "-p", "mistgpu", "--results", "uot", "--", "train.py")
        failed = await sandbox.run_command("-y", *trip, folder=folder)
        assert failed.code == 7
        printed = dict(re.findall(r": gpurent (resume|release) (.*)", failed.err))
        pulled = await sandbox.run_command("pull", printed["release"], "x", folder=folder)
        (again,) = re.findall(r": gpurent (restart .*)", pulled.err)
        restarted = await sandbox.run_command("-y", *again.split(), folder=folder)
        assert restarted.code == 0
        resume = ("resume", *printed["resume"].replace("PATH", "out").split())
        resumed = await sandbox.run_command(*resume, folder=folder)
        assert resumed.code == 0
        assert (folder / "out" / "deep" / "a.pt").read_text() == "weights"
        used = [line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage"]
        paid = Money(-sum(used), CNY)
        assert f"Paid {paid}," in resumed.out, "the receipt is that of both leases"
        check_nothing_burns(sandbox)

"""`--results-every`: running out of money loses at most one interval; a dropped connection or job end harms no pull."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from time import time

import pytest
from attrs import define, field

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.errors import LeaseGone
from gpurent.testing.sandbox.fault_plan import FaultPlan
from tests.workflow.trip_sandbox import ByteCounter, ScriptedUser, TripSandbox, WatchedCounter, trip_sandbox

PULL_INTERVAL = timedelta(minutes=10)
LARGE_BYTES = 4 << 20
SLACK_SECONDS = 1.5  # real seconds: a poll of the monitor, a login, a few files
# Writes whole files by rename, so that downloaded ones can be read at any time; ends when it is told to.
TICKING_JOB = """\
import os, random, time
os.makedirs("out", exist_ok=True)
with open("out/large", "wb") as file:
    file.write(random.Random(1).randbytes({size}))
count = 0
while not os.path.exists({stop!r}):
    count, now = count + 1, time.time()
    for path in ("out/ticks", {witness!r}):
        with open(path + ".new", "w") as file:
            file.write(f"{{now}} {{count}}\\n")
        os.replace(path + ".new", path)
    time.sleep(0.05)
"""


@define
class PullWatchingUser(ScriptedUser):
    """Calls ``at_pull`` with the number of the pull at the first bytes of each."""

    at_pull: Callable[[int], None] = lambda _number: None
    pull_counters: list[ByteCounter] = field(factory=list)

    def start_progress(self, title: str) -> ByteCounter:
        if title != "results":
            return ByteCounter()
        number = len(self.pull_counters) + 1
        self.pull_counters.append(WatchedCounter(on_first_bytes=lambda: self.at_pull(number)))
        return self.pull_counters[-1]


def make_ticking_spec(tmp_path: Path, size: int = 0, transfer: str = "") -> TripSpec:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text(
        TICKING_JOB.format(stop=f"{tmp_path}/stop", witness=f"{tmp_path}/witness", size=size)
    )
    home = tmp_path / "home"
    home.mkdir()
    return TripSpec(
        upload=UploadSpec(folder=str(folder), transfer=transfer),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out",), dir=str(home), every=PULL_INTERVAL),
        provider="mistgpu",
    )


async def log_in_with_money(sandbox: TripSandbox, application: Application, yuan: str = "10") -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, yuan)


def read_time(path: Path) -> float:
    """Return when the job wrote the file, by the computer's clock."""
    return float(path.read_text().split()[0])


async def test_running_out_of_money_loses_no_more_than_one_interval(tmp_path: Path) -> None:
    begun: list[float] = []
    user = PullWatchingUser(at_pull=lambda _number: begun.append(time()))
    async with trip_sandbox(tmp_path, speed=600) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application, "3.20")
        with pytest.raises(LeaseGone):
            await application.trips.run(make_ticking_spec(tmp_path))
    interval = PULL_INTERVAL.total_seconds() / 600
    assert len(begun) >= 3
    lost = read_time(tmp_path / "witness") - read_time(tmp_path / "home" / "out" / "ticks")
    # Beyond the interval, only the time that this computer needs to notice the end and to transfer.
    late = max(after - before for before, after in pairwise(begun)) - interval
    assert lost <= interval + max(0.0, late) + SLACK_SECONDS


def check_results(tmp_path: Path) -> None:
    """Check that the results are complete, as the job left them, and that there is nothing else."""
    out = tmp_path / "home" / "out"
    assert (out / "ticks").read_text() == (tmp_path / "witness").read_text()
    assert (out / "large").read_bytes() == Random(1).randbytes(LARGE_BYTES)
    assert sorted(path.name for path in out.iterdir()) == ["large", "ticks"]


@pytest.mark.parametrize("transfer", ["turbo", pytest.param("sftp", marks=pytest.mark.nightly)])
@pytest.mark.nightly
async def test_pull_in_progress_when_the_job_ends_is_no_error(tmp_path: Path, transfer: str) -> None:
    moved: list[int] = []

    def slow(rate: int | None) -> None:
        for machine in sandbox.cloud.driver.list_machines():
            machine.proxy.plan = FaultPlan(rate=rate)

    def note(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            slow(200_000)
        if event.kind is EventKind.JOB_ENDED:
            moved.append(user.pull_counters[0].moved)
            slow(None)

    user = PullWatchingUser(watchers=[note], at_pull=lambda _number: (tmp_path / "stop").touch())
    async with trip_sandbox(tmp_path, speed=600) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        end = await application.trips.run(make_ticking_spec(tmp_path, LARGE_BYTES, transfer))
    assert end.exit_code == 0
    assert len(moved) == 1
    assert moved[0] < LARGE_BYTES, "it was under way: only its first bytes made the job end"
    assert len(user.pull_counters) == 2
    check_results(tmp_path)
    assert sandbox.cloud.burning() == []


@pytest.mark.parametrize("transfer", ["turbo", pytest.param("sftp", marks=pytest.mark.nightly)])
@pytest.mark.nightly
async def test_a_pull_that_is_cut_is_resumed(tmp_path: Path, transfer: str) -> None:
    def note(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            for machine in sandbox.cloud.driver.list_machines():
                machine.proxy.plan = FaultPlan(cut_download_after=LARGE_BYTES // 2, times=1)

    def at_pull(number: int) -> None:
        if number == 3:  # the first, its retry, and a complete one
            (tmp_path / "stop").touch()

    user = PullWatchingUser(watchers=[note], at_pull=at_pull)
    async with trip_sandbox(tmp_path, speed=600) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        end = await application.trips.run(make_ticking_spec(tmp_path, LARGE_BYTES, transfer))
    assert end.exit_code == 0
    assert EventKind.CONNECTION_RESTORED in user.event_kinds()
    check_results(tmp_path)
    assert sandbox.cloud.burning() == []

"""`--results-every`: an end of the money loses at most one interval; a cut or the job's end harms no pull."""

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
from gpurent.domain.trip import JobSpec, Results, TripSpec, Upload
from gpurent.errors import LeaseGone
from gpurent.testing.sandbox.faults import Plan
from tests.workflow.world import Person, Tally, Watched, World, world

EVERY = timedelta(minutes=10)
SIZE = 4 << 20
SLACK = 1.5  # real seconds: a look of the watch, a login, a few files
# Writes whole files by rename, so that what has come home can be read at any time; ends when it is told to.
TICKS = """\
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
class Onlooker(Person):
    """``at_pull`` is called with the first bytes of every pull, and how many pulls began."""

    at_pull: Callable[[int], None] = lambda _number: None
    pulls: list[Tally] = field(factory=list)

    def start_progress(self, title: str) -> Tally:
        if title != "results":
            return Tally()
        number = len(self.pulls) + 1
        self.pulls.append(Watched(first=lambda: self.at_pull(number)))
        return self.pulls[-1]


def ticking(tmp_path: Path, size: int = 0, transfer: str = "") -> TripSpec:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text(
        TICKS.format(stop=f"{tmp_path}/stop", witness=f"{tmp_path}/witness", size=size)
    )
    home = tmp_path / "home"
    home.mkdir()
    return TripSpec(
        upload=Upload(folder=str(folder), transfer=transfer),
        job=JobSpec(command=("train.py",)),
        results=Results(paths=("out",), dir=str(home), every=EVERY),
        provider="mistgpu",
    )


async def enter(land: World, application: Application, yuan: str = "10") -> None:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, yuan)


def said(path: Path) -> float:
    """When the job wrote it, by the computer's clock."""
    return float(path.read_text().split()[0])


async def test_an_end_of_the_money_loses_no_more_than_one_interval(tmp_path: Path) -> None:
    begun: list[float] = []
    person = Onlooker(at_pull=lambda _number: begun.append(time()))
    async with world(tmp_path, speed=600) as land, land.application(person) as application:
        await enter(land, application, "3.20")
        with pytest.raises(LeaseGone):
            await application.trips.run(ticking(tmp_path))
    interval = EVERY.total_seconds() / 600
    assert len(begun) >= 3
    lost = said(tmp_path / "witness") - said(tmp_path / "home" / "out" / "ticks")
    # Beyond the interval only what this computer needs to see that it is over, and to carry.
    late = max(after - before for before, after in pairwise(begun)) - interval
    assert lost <= interval + max(0.0, late) + SLACK


def all_home(tmp_path: Path) -> None:
    """Whole, as the job left it, and nothing beside it."""
    out = tmp_path / "home" / "out"
    assert (out / "ticks").read_text() == (tmp_path / "witness").read_text()
    assert (out / "large").read_bytes() == Random(1).randbytes(SIZE)
    assert sorted(path.name for path in out.iterdir()) == ["large", "ticks"]


@pytest.mark.parametrize("transfer", ["turbo", "sftp"])
async def test_a_pull_under_way_when_the_job_ends_is_no_trouble(tmp_path: Path, transfer: str) -> None:
    moved: list[int] = []

    def slow(rate: int | None) -> None:
        for machine in land.cloud.driver.machines():
            machine.line.plan = Plan(rate=rate)

    def note(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            slow(200_000)
        if event.kind is EventKind.JOB_ENDED:
            moved.append(person.pulls[0].moved)
            slow(None)

    person = Onlooker(watchers=[note], at_pull=lambda _number: (tmp_path / "stop").touch())
    async with world(tmp_path, speed=600) as land, land.application(person) as application:
        await enter(land, application)
        end = await application.trips.run(ticking(tmp_path, SIZE, transfer))
    assert end.exit_code == 0
    assert len(moved) == 1
    assert moved[0] < SIZE, "it was under way: only its first bytes made the job end"
    assert len(person.pulls) == 2
    all_home(tmp_path)
    assert land.cloud.burning() == []


@pytest.mark.parametrize("transfer", ["turbo", "sftp"])
async def test_a_pull_that_is_cut_is_taken_up_again(tmp_path: Path, transfer: str) -> None:
    def note(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            for machine in land.cloud.driver.machines():
                machine.line.plan = Plan(cut_down=SIZE // 2, times=1)

    def at_pull(number: int) -> None:
        if number == 3:  # the first, the same again, and a whole one
            (tmp_path / "stop").touch()

    person = Onlooker(watchers=[note], at_pull=at_pull)
    async with world(tmp_path, speed=600) as land, land.application(person) as application:
        await enter(land, application)
        end = await application.trips.run(ticking(tmp_path, SIZE, transfer))
    assert end.exit_code == 0
    assert EventKind.LINE_BACK in person.kinds()
    all_home(tmp_path)
    assert land.cloud.burning() == []

"""A whole trip on machines that are bubblewrap and real OpenSSH."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.trip import JobSpec, Results, TripSpec, Upload
from gpurent.testing.sandbox.machines import why_not_bwrap
from tests.workflow.world import DIGITS, Person, world


@pytest.mark.bwrap
async def test_metered_trip_on_openssh_with_a_cut_line(tmp_path: Path) -> None:
    if why := await why_not_bwrap():
        pytest.skip(why)
    person = Person()
    (tmp_path / "home").mkdir()
    async with world(tmp_path, speed=120, driver="bwrap") as land, land.application(person) as application:
        await application.account_commands.login(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await land.settle_alipay(application, "10")
        cuts: list[int] = []

        def cut(event: Event) -> None:
            async def drop() -> None:
                cuts.append(await land.cloud.cut())

            if event.kind is EventKind.JOB_STARTED:
                cuts_task.append(asyncio.get_running_loop().create_task(drop()))

        cuts_task: list[object] = []
        person.watchers.append(cut)
        end = await application.trips.run(
            TripSpec(
                upload=Upload(folder=str(DIGITS)),
                job=JobSpec(command=("train.py", "--epochs", "2", "--hidden", "8"), session="tmux"),
                results=Results(paths=("out",), dir=str(tmp_path / "home")),
                provider="mistgpu",
            )
        )
        assert end.exit_code == 0
        assert cuts == [1]
        assert EventKind.LINE_LOST in person.kinds()
        assert (tmp_path / "home" / "out" / "metrics.json").is_file()
        assert application.leases.find_lease(end.lease).over
        assert land.cloud.driver.machines() == []

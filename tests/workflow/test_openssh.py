"""A whole trip on machines that are bubblewrap and real OpenSSH."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.domain.trip import TripSpec
from gpurent.testing.sandbox.machines import why_not_bwrap
from tests.workflow.world import DIGITS, Person, world


@pytest.mark.bwrap
async def test_metered_trip_on_openssh_with_a_cut_line(tmp_path: Path) -> None:
    if why := await why_not_bwrap():
        pytest.skip(why)
    person = Person()
    (tmp_path / "home").mkdir()
    async with world(tmp_path, speed=120, driver="bwrap") as land, land.desk(person) as service:
        await service.login("mistgpu", {"username": "student", "password": "student-pass"})
        await land.settle_alipay(service, "10")
        cuts: list[int] = []

        def cut(event: object) -> None:
            import asyncio

            async def drop() -> None:
                cuts.append(await land.cloud.cut())

            if getattr(event, "kind", None) is EventKind.JOB_STARTED:
                cuts_task.append(asyncio.get_running_loop().create_task(drop()))

        cuts_task: list[object] = []
        person.watchers.append(cut)
        end = await service.run(
            TripSpec(
                provider="mistgpu",
                command=("train.py", "--epochs", "2", "--hidden", "8"),
                folder=str(DIGITS),
                results=("out",),
                home=str(tmp_path / "home"),
                session="tmux",
            )
        )
        assert end.exit_code == 0
        assert cuts == [1]
        assert EventKind.LINE_LOST in person.kinds()
        assert (tmp_path / "home" / "out" / "metrics.json").is_file()
        link_line = service.desk.lease(end.lease)
        assert link_line.over
        assert land.cloud.driver.machines() == []

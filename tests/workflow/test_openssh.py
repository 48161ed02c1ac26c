"""A whole trip on bubblewrap machines with real OpenSSH."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.testing.sandbox.machines import find_bwrap_problem
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, ScriptedUser, trip_sandbox


@pytest.mark.bwrap
async def test_metered_trip_on_openssh_with_a_cut_connection(tmp_path: Path) -> None:
    if problem := await find_bwrap_problem():
        pytest.skip(problem)
    user = ScriptedUser()
    (tmp_path / "home").mkdir()
    async with (
        trip_sandbox(tmp_path, speed=120, driver="bwrap") as sandbox,
        sandbox.open_application(user) as application,
    ):
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "10")
        cuts: list[int] = []

        def cut(event: Event) -> None:
            async def drop() -> None:
                cuts.append(await sandbox.cloud.cut_connections())

            if event.kind is EventKind.JOB_STARTED:
                cuts_task.append(asyncio.get_running_loop().create_task(drop()))

        cuts_task: list[object] = []
        user.watchers.append(cut)
        end = await application.trips.run(
            TripSpec(
                upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
                job=JobSpec(command=("train.py", "--epochs", "2", "--hidden", "8"), session="tmux"),
                results=ResultsSpec(paths=("out",), dir=str(tmp_path / "home")),
                provider="mistgpu",
            )
        )
        assert end.exit_code == 0
        assert cuts == [1]
        assert EventKind.CONNECTION_LOST in user.event_kinds()
        assert (tmp_path / "home" / "out" / "metrics.json").is_file()
        assert (await application.leases.get_lease(end.lease_id)).is_over
        assert sandbox.cloud.driver.list_machines() == []

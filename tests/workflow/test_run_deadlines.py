"""`run --deadline`: the run itself stops its job in time, whatever the machine's own timer can do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import BudgetExceeded, Spent
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import trip_sandbox

JOB = "echo result > out.txt; sleep 600"


async def test_the_results_are_here_and_the_machine_is_released_in_time(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    await asyncio.to_thread(folder.mkdir)
    async with trip_sandbox(tmp_path, speed=240) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            spec = TripSpec(
                provider="mistgpu",
                upload=UploadSpec(folder=str(folder)),
                job=JobSpec(command=("sh", "-c", JOB)),
                results=ResultsSpec(paths=("out.txt",)),
                limits=TripLimits(deadline_in=timedelta(minutes=30)),
            )
            with pytest.raises(BudgetExceeded, match="the deadline of") as caught:
                await application.trips.run(spec)
            assert caught.value.spent is Spent.YES
            (lease,) = await application.store.list_leases()
            assert lease.is_over
        assert list(sandbox.cloud.burning()) == []
    assert await asyncio.to_thread((folder / "out.txt").read_text) == "result\n"

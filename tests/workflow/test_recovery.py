"""`--recover`: the provider ended the machine, and the job goes on from its checkpoint on another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.money import Currency
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import BudgetExceeded, GpurentError, LeaseGone, Spent
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

# Begins at the checkpoint, and ends at once if there is one.
JOB = """
n=$(cat state/step 2>/dev/null || echo 0)
echo "attempt $GPURENT_ATTEMPT from $n" >> log.txt
[ "$n" = 7 ] && exit 0
mkdir -p state; echo 7 > state/step; sleep 600
"""


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


def make_spec(folder: Path, **limits: object) -> TripSpec:
    folder.mkdir(exist_ok=True)
    (folder / "job.sh").write_text(JOB)
    (folder / ".gitignore").write_text("state\n")
    return TripSpec(
        provider="1024gpu",
        upload=UploadSpec(folder=str(folder), staged=False),
        job=JobSpec(command=("sh", "job.sh")),
        results=ResultsSpec(
            paths=("log.txt",), checkpoints=("state/*",), every=timedelta(minutes=1), dir=str(folder)
        ),
        limits=TripLimits(**{"term": timedelta(hours=3), "recover": 1, **limits}),  # type: ignore[arg-type]
    )


async def log_in(sandbox: TripSandbox, application: Application) -> None:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "190000")


def end_machine_after_download(
    sandbox: TripSandbox, user: ScriptedUser, folder: Path, times: int = 1
) -> None:
    """Let the provider end the machine once the checkpoint was downloaded."""
    state = sandbox.get_simulator_state("1024gpu")
    ended: set[str] = set()
    works: set[asyncio.Task[None]] = set()

    async def end() -> None:
        async with state.lock:
            for order in state.orders.values():
                if order.container is not None and not order.over:
                    ended.add(order.id)
                    await state.end_order(order, well=True)
                    order.kept_until = None  # the machine broke, with its files

    def watch(event: Event) -> None:
        if event.kind is EventKind.PROGRESS and (folder / "state" / "step").exists() and len(ended) < times:
            works.add(asyncio.get_running_loop().create_task(end()))

    user.watchers.append(watch)


async def test_the_job_goes_on_from_its_checkpoint_on_another_machine(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder, user = tmp_path / "project", ScriptedUser()
    spec = await asyncio.to_thread(make_spec, folder)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        end_machine_after_download(sandbox, user, folder)
        end = await application.trips.run(spec)
        assert end.exit_code == 0
        old, new = await application.trip_tracker.list_trips()
        assert (old.outcome_text, new.outcome_text) == ("failed: lease-gone", "done")
        assert (new.spec.continues, new.spec.attempt) == (old.id, 2)
        first, second = [await application.leases.get_lease(trip.lease) for trip in (old, new)]
        assert first.id != second.id
        assert first.release_requested_at is None
        with pytest.raises(GpurentError, match="has ended"):
            await application.trips.resume(old.id)
        findings = await application.reconciliation.compare_provider("1024gpu")
        assert all(finding.is_consistent for finding in findings)
    assert (folder / "log.txt").read_text() == "attempt 1 from 0\nattempt 2 from 7\n"
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
@pytest.mark.parametrize("recover", [0, 1])
async def test_it_ends_when_the_attempts_are_used_up(
    sandbox: TripSandbox, tmp_path: Path, recover: int
) -> None:
    folder, user = tmp_path / "project", ScriptedUser()
    spec = await asyncio.to_thread(make_spec, folder, recover=recover)
    await asyncio.to_thread((folder / "job.sh").write_text, "mkdir -p state; echo 7 > state/step; sleep 600")
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        end_machine_after_download(sandbox, user, folder, times=9)
        with pytest.raises(LeaseGone):
            await application.trips.run(spec)
        trips = await application.trip_tracker.list_trips()
        assert [record.spec.attempt for record in trips] == list(range(1, recover + 2))
        assert not any(record.is_open for record in trips)
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_the_budget_counts_all_machines(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder, user = tmp_path / "project", ScriptedUser()
    # Enough for three hours of one machine, and not for some minutes more.
    spec = await asyncio.to_thread(make_spec, folder, budget=Currency("DBC", 8).money("98"))
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        end_machine_after_download(sandbox, user, folder)
        with pytest.raises(BudgetExceeded) as caught:
            await application.trips.run(spec)
        assert caught.value.spent is Spent.YES, "the first machine cost something"
        first, second = await application.trip_tracker.list_trips()
        assert second.spec.continues == first.id
        assert await application.store.find_lease(second.lease) is None
    assert list(sandbox.cloud.burning()) == []

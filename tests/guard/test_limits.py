"""The user's limits: budget, deadline, idleness. First a warning, then the results, then the machine is released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.offer import Metered
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.workflow.runtime.waiting import cancel_and_wait
from tests.guard.paced_job import PacedJob
from tests.guard.running_guard import EXPECTED_ORDER, first_events, running_guard
from tests.guard.virtual_sandbox import VirtualSandbox, wait_until_true
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time

# Every machine here shows its host's load, which the test cannot control: only output counts.
IDLE_POLICY = '[guard.mistgpu]\nidle = "1h"\nidle_load = "100%"\nwarn_before = "20m"\n'


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as made:
        yield made


def get_used(sandbox: VirtualSandbox) -> int:
    """Return the fen that the provider charged."""
    return -sum(line.amount.amount for line in sandbox.get_ledger("mistgpu") if line.kind == "usage")


async def run_detached(application: Application, job: PacedJob, limits: TripLimits | None = None) -> None:
    await application.trips.run(job.make_spec("mistgpu", limits or TripLimits()), detach=True)


async def get_outcome(application: Application) -> str:
    """Return how the user's own trip ended; empty while it is running."""
    return (await application.trip_tracker.list_trips())[0].outcome_text


def is_saved(job: PacedJob) -> bool:
    return "line" in job.results.read_text()


async def test_a_budget_stops_a_trip_with_the_results_saved(sandbox: VirtualSandbox) -> None:
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        budget = CNY.money("3.20")
        await run_detached(application, job, TripLimits(budget=budget))
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        (lease,) = await application.store.list_leases()
        assert await get_outcome(application) == "stopped: budget"
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        assert is_saved(job)
        assert lease.is_over
        assert 0 < get_used(sandbox) <= budget.amount, "not a fen above"
        balance = (await application.account_money.get_balance("mistgpu")).available
        assert balance.amount == 30000 - get_used(sandbox)
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_a_month_s_budget_ends_a_machine_that_has_no_budget_of_its_own(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[budget.mistgpu]\nmonth = "3.20CNY"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "stopped: budget"
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        assert is_saved(job)
        assert 0 < get_used(sandbox) <= 320
    assert list(sandbox.list_burning()) == []


@pytest.mark.parametrize("own", [False, True], ids=["of everything", "of the trip"])
async def test_a_deadline_ends_the_lease_before_it_passes(sandbox: VirtualSandbox, own: bool) -> None:
    span = timedelta(minutes=45)
    sandbox.write_config("" if own else '[guard]\ndeadline = "45m"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job, TripLimits(deadline_in=span) if own else TripLimits())
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        (lease,) = await application.store.list_leases()
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        assert is_saved(job)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        assert lease.ended_at <= lease.started_at + span
        tariff = lease.offer.tariff
        assert isinstance(tariff, Metered)
        assert get_used(sandbox) <= tariff.price.cost(span).amount
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_an_idle_machine_is_released_after_the_download(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(IDLE_POLICY)
    user = ScriptedUser()
    silent = sandbox.make_job(ScriptedUser())
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, silent)
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "stopped: idle"
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        warned = next(event for event in user.events if event.data.get("reason") == "idle")
        released = next(event for event in user.events if event.kind is EventKind.RELEASED)
        assert released.at - warned.at >= timedelta(minutes=20)
        assert is_saved(silent)
    assert list(sandbox.list_burning()) == []


async def test_idleness_is_noticed_by_guards_that_are_started_now_and_then(sandbox: VirtualSandbox) -> None:
    """As with cron: each guard remembers what the one before it saw."""
    sandbox.write_config(IDLE_POLICY)
    user = ScriptedUser()
    silent = sandbox.make_job(ScriptedUser())
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, silent)
    for _run in range(12):
        async with sandbox.open_application(user) as application:
            await application.guard.run_once()
            if await get_outcome(application):
                break
        await sandbox.advance(timedelta(minutes=15))
    assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
    assert len([event for event in user.events if event.data.get("reason") == "idle"]) == 1
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_a_job_that_writes_is_not_idle(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(IDLE_POLICY.replace("20m", "10m"))
    user = ScriptedUser()
    job = sandbox.make_job(user, lines=18)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "done"
        assert [event for event in user.events if event.data.get("reason") == "idle"] == []
        assert job.results.read_text().endswith("done\n")
    assert list(sandbox.list_burning()) == []


async def test_after_a_jump_of_days_everything_is_polled_at_once(sandbox: VirtualSandbox) -> None:
    """The deadline passed while the computer slept: the guard warns, saves and releases, whatever the hour."""
    sandbox.write_config('[guard]\ndeadline = "2d"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
        async with running_guard(application) as guard:
            await wait_until_true(lambda: guard.results)
            await sandbox.advance(timedelta(days=2, hours=1))
            jumped = sandbox.clock.now()
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "stopped: deadline"
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        assert is_saved(job)
        warned = next(event for event in user.events if event.data.get("reason") == "deadline")
        assert warned.at - jumped < timedelta(seconds=15)
    assert list(sandbox.list_burning()) == []


async def test_the_guard_leaves_a_running_trip_alone(sandbox: VirtualSandbox) -> None:
    """The job is silent for longer than the guard would allow."""
    sandbox.write_config(
        '[guard.mistgpu]\nidle = "2m"\nidle_load = "100%"\nwarn_before = "1m"\ncheck_interval = "1m"\n'
    )
    runner, watcher = ScriptedUser(), ScriptedUser()
    job = sandbox.make_job(runner, lines=1)
    async with sandbox.open_application(runner) as application, sandbox.open_application(watcher) as other:
        await sandbox.log_in_to_mistgpu(application, "300")
        started = asyncio.Event()

        def on_event(event: Event) -> None:
            if event.kind is EventKind.JOB_STARTED:
                started.set()

        runner.watchers.append(on_event)
        trip_task = asyncio.create_task(application.trips.run(job.make_spec("mistgpu")))
        async with running_guard(other) as guard:
            await started.wait()
            end = await trip_task
            assert guard.check_count
        assert end.exit_code == 0
        assert end.receipt is not None
        assert [row.kind for row in await application.trip_tracker.list_trips()] == ["run"], (
            "the guard did nothing of its own"
        )
        assert [event for event in watcher.events if event.kind in EXPECTED_ORDER[1:]] == []
        (total,) = end.receipt.totals()
        assert total.spent.amount == get_used(sandbox)
    assert list(sandbox.list_burning()) == []


async def test_trip_whose_process_died_is_finished(sandbox: VirtualSandbox) -> None:
    user = ScriptedUser()
    job = sandbox.make_job(user, lines=16)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        trip_task = asyncio.create_task(application.trips.run(job.make_spec("mistgpu")))
        await wait_until_true(lambda: EventKind.JOB_STARTED in user.event_kinds())
        await cancel_and_wait(trip_task)
    async with sandbox.open_application() as application:
        assert await get_outcome(application) == ""
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "done"
        assert job.results.read_text().endswith("done\n")
    assert list(sandbox.list_burning()) == []


async def test_a_rented_machine_is_left_alone_without_a_policy(sandbox: VirtualSandbox) -> None:
    async with sandbox.open_application() as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        lease: Lease = await application.trips.rent(TripSpec(provider="mistgpu", rent_only=True))
        (observed,) = (await application.guard.run_once()).results
        assert observed.actions == ()
        assert observed.failure == ""
        assert not (await application.leases.get_lease(lease.id)).is_over
        await application.releases.release_lease(lease.id)

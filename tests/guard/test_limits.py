"""Limits of the user's: budget, deadline, idleness. First a warning, then the results, then the machine goes back."""

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
from tests.guard.sandbox import Sandbox, until
from tests.guard.watching import IN_ORDER, guarding, order_of
from tests.workflow.world import Person

pytestmark = pytest.mark.virtual_time

# Every machine here shows its host's load, which is not the test's to say: only output counts.
IDLE = '[guard.mistgpu]\nidle = "1h"\nidle_load = "100%"\nwarn_before = "20m"\n'


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox.make(tmp_path, "mistgpu") as made:
        yield made


def used(sandbox: Sandbox) -> int:
    """Fen that the provider took."""
    return -sum(line.amount.amount for line in sandbox.ledger("mistgpu") if line.kind == "usage")


async def run_detached(application: Application, job: PacedJob, limits: TripLimits | None = None) -> None:
    await application.trips.run(job.spec("mistgpu", limits or TripLimits()), detach=True)


def outcome(application: Application) -> str:
    """How the user's own trip ended; empty while it goes on."""
    return application.trip_register.trips()[0].outcome


def is_saved(job: PacedJob) -> bool:
    return "line" in job.results.read_text()


async def test_a_budget_stops_a_trip_with_the_results_saved(sandbox: Sandbox) -> None:
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        budget = CNY.money("3.20")
        await run_detached(application, job, TripLimits(budget=budget))
        async with guarding(application):
            await until(lambda: outcome(application))
        (lease,) = application.store.leases()
        assert outcome(application) == "stopped: budget"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert is_saved(job)
        assert lease.over
        assert 0 < used(sandbox) <= budget.amount, "not a fen above"
        balance = (await application.account_money.balance("mistgpu")).available
        assert balance.amount == 30000 - used(sandbox)
    assert list(sandbox.burning()) == []


async def test_a_month_s_budget_ends_a_machine_that_has_no_budget_of_its_own(sandbox: Sandbox) -> None:
    sandbox.write_config('[budget.mistgpu]\nmonth = "3.20CNY"\n')
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
        async with guarding(application):
            await until(lambda: outcome(application))
        assert outcome(application) == "stopped: budget"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert is_saved(job)
        assert 0 < used(sandbox) <= 320
    assert list(sandbox.burning()) == []


@pytest.mark.parametrize("own", [False, True], ids=["of everything", "of the trip"])
async def test_a_deadline_ends_the_lease_before_it_passes(sandbox: Sandbox, own: bool) -> None:
    span = timedelta(minutes=45)
    sandbox.write_config("" if own else '[guard]\ndeadline = "45m"\n')
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job, TripLimits(deadline_in=span) if own else TripLimits())
        async with guarding(application):
            await until(lambda: outcome(application))
        (lease,) = application.store.leases()
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert is_saved(job)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        assert lease.ended_at <= lease.started_at + span
        tariff = lease.offer.tariff
        assert isinstance(tariff, Metered)
        assert used(sandbox) <= tariff.price.cost(span).amount
    assert list(sandbox.burning()) == []


async def test_an_idle_machine_is_given_back_with_its_results(sandbox: Sandbox) -> None:
    sandbox.write_config(IDLE)
    person = Person()
    silent = sandbox.job(Person())
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, silent)
        async with guarding(application):
            await until(lambda: outcome(application))
        assert outcome(application) == "stopped: idle"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        warned = next(event for event in person.events if event.data.get("reason") == "idle")
        released = next(event for event in person.events if event.kind is EventKind.RELEASED)
        assert released.at - warned.at >= timedelta(minutes=20)
        assert is_saved(silent)
    assert list(sandbox.burning()) == []


async def test_idleness_is_noticed_by_guards_that_are_started_now_and_then(sandbox: Sandbox) -> None:
    """As cron does it: each remembers what the one before it saw."""
    sandbox.write_config(IDLE)
    person = Person()
    silent = sandbox.job(Person())
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, silent)
    for _run in range(12):
        async with sandbox.application(person) as application:
            await application.guard.once()
            if outcome(application):
                break
        await sandbox.advance(timedelta(minutes=15))
    assert order_of(person, *IN_ORDER) == IN_ORDER
    assert len([event for event in person.events if event.data.get("reason") == "idle"]) == 1
    assert list(sandbox.burning()) == []


async def test_a_job_that_writes_is_not_idle(sandbox: Sandbox) -> None:
    sandbox.write_config(IDLE.replace("20m", "10m"))
    person = Person()
    job = sandbox.job(person, lines=18)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
        async with guarding(application):
            await until(lambda: outcome(application))
        assert outcome(application) == "done"
        assert [event for event in person.events if event.data.get("reason") == "idle"] == []
        assert job.results.read_text().endswith("done\n")
    assert list(sandbox.burning()) == []


async def test_after_a_jump_of_days_everything_is_looked_at_at_once(sandbox: Sandbox) -> None:
    """The deadline passed while the computer slept: warned, saved and given back, whatever the hour."""
    sandbox.write_config('[guard]\ndeadline = "2d"\n')
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
        async with guarding(application) as guard:
            await until(lambda: guard.looked)
            await sandbox.advance(timedelta(days=2, hours=1))
            jumped = sandbox.clock.now()
            await until(lambda: outcome(application))
        assert outcome(application) == "stopped: deadline"
        assert order_of(person, *IN_ORDER) == IN_ORDER
        assert is_saved(job)
        warned = next(event for event in person.events if event.data.get("reason") == "deadline")
        assert warned.at - jumped < timedelta(seconds=15)
    assert list(sandbox.burning()) == []


async def test_beside_a_living_run_the_guard_keeps_its_hands_off(sandbox: Sandbox) -> None:
    """Although the job is silent for longer than the guard would allow."""
    sandbox.write_config(
        '[guard.mistgpu]\nidle = "2m"\nidle_load = "100%"\nwarn_before = "1m"\nlook = "1m"\n'
    )
    runner, watcher = Person(), Person()
    job = sandbox.job(runner, lines=1)
    async with sandbox.application(runner) as application, sandbox.application(watcher) as other:
        await sandbox.log_in_to_mistgpu(application, "300")
        started = asyncio.Event()

        def hear(event: Event) -> None:
            if event.kind is EventKind.JOB_STARTED:
                started.set()

        runner.watchers.append(hear)
        walking = asyncio.create_task(application.trips.run(job.spec("mistgpu")))
        async with guarding(other) as guard:
            await started.wait()
            end = await walking
            assert guard.looks
        assert end.exit_code == 0
        assert end.receipt is not None
        assert [row.kind for row in application.trip_register.trips()] == ["run"], (
            "the guard did nothing of its own"
        )
        assert [event for event in watcher.events if event.kind in IN_ORDER[1:]] == []
        (total,) = end.receipt.totals()
        assert total.spent.amount == used(sandbox)
    assert list(sandbox.burning()) == []


async def test_a_run_whose_process_died_is_brought_to_its_end(sandbox: Sandbox) -> None:
    person = Person()
    job = sandbox.job(person, lines=16)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        walking = asyncio.create_task(application.trips.run(job.spec("mistgpu")))
        await until(lambda: EventKind.JOB_STARTED in person.kinds())
        await cancel_and_wait(walking)
    async with sandbox.application() as application:
        assert outcome(application) == ""
        async with guarding(application):
            await until(lambda: outcome(application))
        assert outcome(application) == "done"
        assert job.results.read_text().endswith("done\n")
    assert list(sandbox.burning()) == []


async def test_a_rented_machine_is_left_alone_without_a_policy(sandbox: Sandbox) -> None:
    async with sandbox.application() as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        lease: Lease = await application.trips.rent(TripSpec(provider="mistgpu", rent_only=True))
        (looked,) = await application.guard.once()
        assert looked.actions == ()
        assert looked.trouble == ""
        assert not application.leases.find_lease(lease.id).over
        await application.releases.release(lease.id)

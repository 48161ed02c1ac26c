"""The guard over a provider with a balance: topped up in time, or the results are home before the shut-down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.workflow.runtime.waiting import in_background
from tests.guard.machine_timer import run_machine_timer
from tests.guard.sandbox import Payer, Sandbox, until
from tests.guard.watching import guarding
from tests.workflow.world import Person

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox.make(tmp_path, "mistgpu") as made:
        yield made


def ledger(sandbox: Sandbox, kind: str) -> list[int]:
    return [line.amount.amount for line in sandbox.ledger("mistgpu") if line.kind == kind]


async def require_balanced(sandbox: Sandbox, application: Application) -> None:
    """What the account says is what its ledger sums to."""
    balance = (await application.account_money.balance("mistgpu")).available
    assert sum(line.amount.amount for line in sandbox.ledger("mistgpu")) == balance.amount


async def test_a_balance_that_would_run_dry_is_topped_up(sandbox: Sandbox) -> None:
    sandbox.write_config('[guard.mistgpu]\ntop_up = "40CNY"\ntop_up_before = "40m"\nsave_before = "20m"\n')
    person, payer = Person(), Payer(sandbox)
    person.watchers.append(payer.hear)
    job = sandbox.job(person, lines=20)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "4")
        await application.trips.run(job.spec("mistgpu"), detach=True)
        async with guarding(application):
            await until(lambda: application.trip_register.trips()[0].outcome)
        assert application.trip_register.trips()[0].outcome == "done"
        assert job.results.read_text().endswith("done\n")
        assert payer.paid == ["40.00"], "told once"
        assert ledger(sandbox, "recharge") == [400, 4000]
        assert sum(ledger(sandbox, "usage")) < -400, "more was used than was there at first"
        assert [row.outcome for row in application.trip_register.trips() if "topup" in row.id] == ["arrived"]
        await require_balanced(sandbox, application)
    assert list(sandbox.burning()) == []


async def test_nobody_pays_and_the_results_are_home_before_the_shut_down(sandbox: Sandbox) -> None:
    sandbox.write_config('[guard.mistgpu]\ntop_up = "40CNY"\ntop_up_before = "40m"\nsave_before = "30m"\n')
    person = Person()
    job = sandbox.job(person)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "4")
        end = await application.trips.run(job.spec("mistgpu"), detach=True)
        async with guarding(application):
            await until(lambda: application.leases.find_lease(end.lease).over)
        (kept,) = application.store.leases()
        saved = [event.at for event in person.events if event.kind is EventKind.SAVED]
        assert saved, person.events
        assert kept.ended_at is not None
        assert all(at < kept.ended_at for at in saved)
        assert "line" in job.results.read_text()
        assert person.kinds().count(EventKind.TOP_UP) == 1
        assert ledger(sandbox, "recharge") == [400]
        assert sum(ledger(sandbox, "usage")) == -400
    assert list(sandbox.burning()) == []


async def test_the_timer_in_the_machine_is_moved_on_while_the_guard_watches(sandbox: Sandbox) -> None:
    """A dead man's switch of one hour, and a job that takes longer: only the guard keeps the machine awake."""
    sandbox.write_config('[guard.mistgpu]\ntimer = "1h"\n')
    person = Person()
    job = sandbox.job(person, lines=18)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "100")
        end = await application.trips.run(job.spec("mistgpu"), detach=True)
        armed = application.machine_timers.remembered(application.leases.find_lease(end.lease))
        assert armed is not None
        async with in_background(run_machine_timer(sandbox.machines.only)), guarding(application):
            await until(lambda: application.trip_register.trips()[0].outcome)
        assert application.trip_register.trips()[0].outcome == "done"
        (lease,) = application.store.leases()
        assert lease.ended_at is not None
        assert lease.ended_at > armed, "it outlived the first deadline"
        assert job.results.read_text().endswith("done\n")
        await require_balanced(sandbox, application)
    assert list(sandbox.burning()) == []


async def test_without_a_guard_the_timer_shuts_the_machine(sandbox: Sandbox) -> None:
    """So that the test before shows what the guard does."""
    sandbox.write_config('[guard.mistgpu]\ntimer = "1h"\n')
    person = Person()
    job = sandbox.job(person, lines=18)
    async with sandbox.application(person) as application:
        await sandbox.log_in_to_mistgpu(application, "100")
        end = await application.trips.run(job.spec("mistgpu"), detach=True)
        armed = application.machine_timers.remembered(application.leases.find_lease(end.lease))
        async with in_background(run_machine_timer(sandbox.machines.only)):
            await until(lambda: not sandbox.machines.alive)
        assert armed is not None
        assert 0 <= (sandbox.clock.now() - armed).total_seconds() < 120
    assert list(sandbox.burning()) == []

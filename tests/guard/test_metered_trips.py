"""The guard with a provider that draws on a balance: topped up in time, or results saved before the shutdown."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.workflow.guard.controller import GuardResult
from gpurent.workflow.guard.saved_state import LeaseMemory
from gpurent.workflow.runtime.waiting import run_in_background
from tests.guard.machine_timer import run_machine_timer
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import (
    AlipayPayer,
    VirtualSandbox,
    get_first_outcome,
    is_lease_over,
    wait_until_true,
)
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as made:
        yield made


def list_amounts(sandbox: VirtualSandbox, kind: str) -> list[int]:
    return [line.amount.amount for line in sandbox.get_ledger("mistgpu") if line.kind == kind]


async def check_balanced(sandbox: VirtualSandbox, application: Application) -> None:
    """Check that the account's balance is the sum of its ledger."""
    balance = (await application.account_money.get_balance("mistgpu")).available
    assert sum(line.amount.amount for line in sandbox.get_ledger("mistgpu")) == balance.amount


async def test_balance_that_would_run_out_is_topped_up(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[guard.mistgpu]\ntop_up = "40CNY"\ntop_up_before = "40m"\nsave_before = "20m"\n')
    user, payer = ScriptedUser(), AlipayPayer(sandbox)
    user.watchers.append(payer.on_event)
    job = sandbox.make_job(user, lines=20)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "4")
        await application.trips.run(job.make_spec("mistgpu"), detach=True)
        async with running_guard(application):
            await wait_until_true(lambda: get_first_outcome(application))
        assert (await application.trip_tracker.list_trips())[0].outcome_text == "done"
        assert job.results.read_text().endswith("done\n")
        assert payer.paid_amounts == ["40.00"], "told once"
        assert list_amounts(sandbox, "recharge") == [400, 4000]
        assert sum(list_amounts(sandbox, "usage")) < -400, "more was used than was there at first"
        assert [
            row.outcome_text for row in await application.trip_tracker.list_trips() if "topup" in row.id
        ] == ["arrived"]
        await check_balanced(sandbox, application)
    assert list(sandbox.list_burning()) == []


async def test_unpaid_results_are_downloaded_before_the_shutdown(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[guard.mistgpu]\ntop_up = "40CNY"\ntop_up_before = "40m"\nsave_before = "30m"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "4")
        end = await application.trips.run(job.make_spec("mistgpu"), detach=True)
        async with running_guard(application):
            await wait_until_true(lambda: is_lease_over(application, end.lease_id))
        (kept,) = await application.store.list_leases()
        saved = [event.at for event in user.events if event.kind is EventKind.RESULTS_SAVED]
        assert saved, user.events
        assert kept.ended_at is not None
        assert all(at < kept.ended_at for at in saved)
        assert "line" in job.results.read_text()
        assert user.event_kinds().count(EventKind.TOP_UP) == 1
        assert list_amounts(sandbox, "recharge") == [400]
        assert sum(list_amounts(sandbox, "usage")) == -400
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_timer_in_the_machine_is_extended_while_the_guard_watches(sandbox: VirtualSandbox) -> None:
    """A dead man's switch of one hour and a longer job: only the guard keeps the machine running."""
    sandbox.write_config('[guard.mistgpu]\ntimer = "1h"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user, lines=18)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "100")
        end = await application.trips.run(job.make_spec("mistgpu"), detach=True)
        armed = await application.machine_timers.find_deadline(
            await application.leases.get_lease(end.lease_id)
        )
        assert armed is not None
        async with (
            run_in_background(run_machine_timer(sandbox.machines.only_machine)),
            running_guard(application),
        ):
            await wait_until_true(lambda: get_first_outcome(application))
        assert (await application.trip_tracker.list_trips())[0].outcome_text == "done"
        (lease,) = await application.store.list_leases()
        assert lease.ended_at is not None
        assert lease.ended_at > armed, "it outlived the first deadline"
        assert job.results.read_text().endswith("done\n")
        await check_balanced(sandbox, application)
    assert list(sandbox.list_burning()) == []


async def test_without_a_guard_the_timer_shuts_the_machine(sandbox: VirtualSandbox) -> None:
    """The control for the test before: it shows what the guard does."""
    sandbox.write_config('[guard.mistgpu]\ntimer = "1h"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user, lines=18)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "100")
        end = await application.trips.run(job.make_spec("mistgpu"), detach=True)
        armed = await application.machine_timers.find_deadline(
            await application.leases.get_lease(end.lease_id)
        )
        async with run_in_background(run_machine_timer(sandbox.machines.only_machine)):
            await wait_until_true(lambda: not sandbox.machines.alive_machines)
        assert armed is not None
        assert 0 <= (sandbox.clock.now() - armed).total_seconds() < 120
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_a_lease_that_is_over_is_forgotten(sandbox: VirtualSandbox) -> None:
    """A guard runs for months: what it holds of each lease must not stay until it ends."""
    user = ScriptedUser()
    job = sandbox.make_job(user, lines=3)
    kinds = (GuardResult, LeaseMemory)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "20")
        await application.trips.run(job.make_spec("mistgpu"), detach=True)
        before = [count_objects(kind) for kind in kinds]
        async with running_guard(application) as guard:
            await wait_until_true(lambda: guard.results)
            assert [count_objects(kind) for kind in kinds] != before
            await wait_until_true(lambda: get_first_outcome(application))
            await wait_until_true(lambda: not guard.results)
            assert [count_objects(kind) for kind in kinds] == before
            assert not guard.due_at


def count_objects(kind: type) -> int:
    gc.collect()
    return sum(type(found) is kind for found in gc.get_objects())

"""The guard with a prepaid provider: renewed by policy exactly once per period, whatever happens to the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.testing.fakes.shared_clock import share_clock
from gpurent.testing.fakes.virtual_time import real_time
from gpurent.workflow.guard.decide import Renew
from tests.guard.prepaid_lease import (
    DAY,
    RENEW_ONCE,
    advance_near_end,
    check_settled,
    list_renewal_costs,
    rent_for_a_day,
)
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import VirtualSandbox, has_moved_end, is_lease_over, wait_until_true
from tests.workflow.test_crash import start_crash_process
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "1024gpu", "dbc") as made:
        yield made


async def test_a_lease_is_renewed_on_time_and_only_as_far_as_the_policy_goes(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(RENEW_ONCE)
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        lease = await rent_for_a_day(sandbox, application)
        assert lease.expires_at is not None
        async with running_guard(application):
            await advance_near_end(sandbox, lease, timedelta(hours=3))
            await wait_until_true(lambda: has_moved_end(application, lease))
            longer = await application.leases.get_lease(lease.id)
            assert longer.expires_at == lease.expires_at + DAY
            await wait_until_true(lambda: EventKind.RENEWED in user.event_kinds())
            await advance_near_end(sandbox, longer, timedelta(hours=1))
            await wait_until_true(lambda: is_lease_over(application, lease.id))
        (renewed,) = [event for event in user.events if event.kind is EventKind.RENEWED]
        assert renewed.at < lease.expires_at
        await check_settled(sandbox, application, 1)


@pytest.mark.nightly
async def test_a_guard_killed_at_every_step_renews_exactly_once(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(RENEW_ONCE)
    clock = sandbox.root / "clock"
    async with (
        sandbox.open_application() as application,
        share_clock(sandbox.clock, clock),
        start_crash_process() as client,
    ):
        lease = await rent_for_a_day(sandbox, application)
        await advance_near_end(sandbox, lease, timedelta(minutes=110))
        task = {
            "environment": dict(sandbox.environment()),
            "home": str(sandbox.home / "state"),
            "watch": True,
            "clock": str(clock),
        }
        remaining: list[str] = []
        with real_time():
            while "died" in (answer := await client.run_task(**task, spare=remaining)):
                assert answer["died"] not in remaining, "dead twice at one point"
                remaining.append(answer["died"])
        assert answer == {"end": 0, "trouble": []}
        steps = {"order", "quote", "leg0.reserve", "leg0.bill", "leg0.pay", "leg0.confirm"}
        assert {f"{step}:{phase}" for step in steps for phase in ("begun", "effect", "recorded")} <= set(
            remaining
        )
        assert lease.expires_at is not None
        assert (await application.leases.get_lease(lease.id)).expires_at == lease.expires_at + DAY
        with real_time():
            assert await client.run_task(**task, spare=[], share=0) == {"end": 0, "trouble": []}
        await check_settled(sandbox, application, 1)


async def test_a_renewal_of_the_user_s_own_makes_the_guard_s_needless(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(RENEW_ONCE)
    async with sandbox.open_application() as application:
        lease = await rent_for_a_day(sandbox, application)
        await advance_near_end(sandbox, lease, timedelta(minutes=100))
        async with sandbox.open_application() as other:
            await asyncio.gather(application.lease_changes.renew(lease.id, DAY), other.guard.run_once())
        assert lease.expires_at is not None
        done = len(list_renewal_costs(sandbox))
        assert done in (1, 2)
        await check_settled(sandbox, application, done)


async def test_an_end_that_is_estimated_anew_is_the_same_period(sandbox: VirtualSandbox) -> None:
    """A chain tells a block; when that comes is estimated at each look, a few seconds earlier or later."""
    seconds = timedelta(seconds=6)
    async with sandbox.open_application() as application:
        lease = await rent_for_a_day(sandbox, application)
        assert lease.expires_at is not None
        actions = application.guard.controller.actions.recorded
        begun = await actions.renewals.begin_renewal(lease, Renew(term=DAY, until=lease.expires_at + seconds))
        again = await actions.renewals.begin_renewal(lease, Renew(term=DAY, until=lease.expires_at - seconds))
        assert again.id == begun.id
        await actions.resume_action(again)
        longer = await application.leases.get_lease(lease.id)
        assert longer.expires_at == lease.expires_at + DAY
        await actions.renew_lease(longer, Renew(term=DAY, until=lease.expires_at))
        await check_settled(sandbox, application, 1)


async def test_a_budget_forbids_a_renewal_before_anything_is_ordered(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(RENEW_ONCE + 'budget = "3000DBC"\n')
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        lease = await rent_for_a_day(sandbox, application)
        await advance_near_end(sandbox, lease, timedelta(minutes=100))
        for _attempt in range(2):
            (observed,) = (await application.guard.run_once()).results
            assert "of its budget (3,000 DBC) is left" in observed.failure
        assert len([event for event in user.events if "of its budget" in event.text]) == 1, "told once"
        assert [row.kind for row in await application.trip_tracker.list_trips()] == ["rent"]
        await check_settled(sandbox, application, 0)


async def test_a_low_wallet_is_reported_once_and_renewed_when_filled(sandbox: VirtualSandbox) -> None:
    sandbox.write_config(RENEW_ONCE + 'top_up = "100DBC"\n')
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        lease = await rent_for_a_day(sandbox, application, dbc="2500")
        await advance_near_end(sandbox, lease, timedelta(minutes=100))
        for _attempt in range(2):
            (observed,) = (await application.guard.run_once()).results
            assert observed.failure == ""
        (topup_event,) = [event for event in user.events if event.kind is EventKind.TOP_UP]
        assert float(topup_event.data["amount"]) > 1400, (
            "what is missing, which is more than the policy's least"
        )
        await check_settled(sandbox, application, 0)
        await sandbox.add_dbc(application, "5000")
        await sandbox.advance(timedelta())
        await application.guard.run_once()
        assert user.event_kinds().count(EventKind.TOPPED_UP) == 1
        assert lease.expires_at is not None
        assert (await application.leases.get_lease(lease.id)).expires_at == lease.expires_at + DAY
        await check_settled(sandbox, application, 1)

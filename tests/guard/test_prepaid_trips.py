"""The guard over a prepaid provider: renewed by policy exactly once for each period, whatever happens to the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.testing.fakes.shared_clock import share_clock
from gpurent.testing.fakes.virtual_time import real_time
from tests.guard.prepaid import DAY, ONCE, go_near_the_end, renewals, rent_for_a_day, require_settled
from tests.guard.sandbox import Sandbox, until
from tests.guard.watching import guarding
from tests.workflow.test_crash import zygote
from tests.workflow.world import Person

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox.make(tmp_path, "1024gpu", "dbc") as made:
        yield made


async def test_a_lease_is_renewed_on_time_and_only_as_far_as_the_policy_goes(sandbox: Sandbox) -> None:
    sandbox.write_config(ONCE)
    person = Person()
    async with sandbox.application(person) as application:
        lease = await rent_for_a_day(sandbox, application)
        assert lease.expires_at is not None
        async with guarding(application):
            await go_near_the_end(sandbox, lease, timedelta(hours=3))
            await until(lambda: application.leases.find_lease(lease.id).expires_at != lease.expires_at)
            longer = application.leases.find_lease(lease.id)
            assert longer.expires_at == lease.expires_at + DAY
            await until(lambda: EventKind.RENEWED in person.kinds())
            await go_near_the_end(sandbox, longer, timedelta(hours=1))
            await until(lambda: application.leases.find_lease(lease.id).over)
        (renewed,) = [event for event in person.events if event.kind is EventKind.RENEWED]
        assert renewed.at < lease.expires_at
        await require_settled(sandbox, application, 1)


async def test_a_guard_killed_at_every_step_renews_exactly_once(sandbox: Sandbox) -> None:
    sandbox.write_config(ONCE)
    clock = sandbox.root / "clock"
    async with sandbox.application() as application, share_clock(sandbox.clock, clock), zygote() as client:
        lease = await rent_for_a_day(sandbox, application)
        await go_near_the_end(sandbox, lease, timedelta(minutes=110))
        task = {
            "environment": dict(sandbox.environment()),
            "home": str(sandbox.home / "state"),
            "watch": True,
            "clock": str(clock),
        }
        spare: list[str] = []
        with real_time():
            while "died" in (answer := await client.run(**task, spare=spare)):
                assert answer["died"] not in spare, "dead twice at one point"
                spare.append(answer["died"])
        assert answer == {"end": 0, "trouble": []}
        steps = {"order", "quote", "leg0.reserve", "leg0.bill", "leg0.pay", "leg0.confirm"}
        assert {f"{step}:{phase}" for step in steps for phase in ("begun", "effect", "recorded")} <= set(
            spare
        )
        assert lease.expires_at is not None
        assert application.leases.find_lease(lease.id).expires_at == lease.expires_at + DAY
        with real_time():
            assert await client.run(**task, spare=[], share=0) == {"end": 0, "trouble": []}
        await require_settled(sandbox, application, 1)


async def test_a_renewal_of_the_user_s_own_makes_the_guard_s_needless(sandbox: Sandbox) -> None:
    sandbox.write_config(ONCE)
    async with sandbox.application() as application:
        lease = await rent_for_a_day(sandbox, application)
        await go_near_the_end(sandbox, lease, timedelta(minutes=100))
        async with sandbox.application() as other:
            await asyncio.gather(application.lease_changes.renew(lease.id, DAY), other.guard.once())
        assert lease.expires_at is not None
        done = len(renewals(sandbox))
        assert done in (1, 2)
        await require_settled(sandbox, application, done)


async def test_a_budget_forbids_a_renewal_before_anything_is_ordered(sandbox: Sandbox) -> None:
    sandbox.write_config(ONCE + 'budget = "3000DBC"\n')
    person = Person()
    async with sandbox.application(person) as application:
        lease = await rent_for_a_day(sandbox, application)
        await go_near_the_end(sandbox, lease, timedelta(minutes=100))
        for _look in range(2):
            (looked,) = await application.guard.once()
            assert "budget of 3,000 DBC" in looked.trouble
        assert len([event for event in person.events if "budget of" in event.text]) == 1, "told once"
        assert [row.kind for row in application.trip_register.trips()] == ["rent"]
        await require_settled(sandbox, application, 0)


async def test_too_little_in_the_wallet_is_told_once_and_renewed_when_it_has_come(sandbox: Sandbox) -> None:
    sandbox.write_config(ONCE + 'top_up = "100DBC"\n')
    person = Person()
    async with sandbox.application(person) as application:
        lease = await rent_for_a_day(sandbox, application, dbc="2500")
        await go_near_the_end(sandbox, lease, timedelta(minutes=100))
        for _look in range(2):
            (looked,) = await application.guard.once()
            assert looked.trouble == ""
        (told,) = [event for event in person.events if event.kind is EventKind.TOP_UP]
        assert float(told.data["amount"]) > 1400, "what is missing, which is more than the policy's least"
        await require_settled(sandbox, application, 0)
        await sandbox.buy_dbc(application, "5000")
        await sandbox.advance(timedelta())
        await application.guard.once()
        assert person.kinds().count(EventKind.TOPPED_UP) == 1
        assert lease.expires_at is not None
        assert application.leases.find_lease(lease.id).expires_at == lease.expires_at + DAY
        await require_settled(sandbox, application, 1)

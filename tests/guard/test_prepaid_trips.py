"""The guard over a prepaid shop: renewed by policy exactly once for each period, whatever happens to the guard."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripSpec
from gpurent.workflow.guard.scheduler import Guard
from gpurent.workflow.trips.operations import Service
from tests.guard.watching import guarding, policy, until
from tests.workflow.test_crash import zygote
from tests.workflow.world import Person, World, world

DAY = timedelta(days=1)
ONCE = '[guard.1024gpu]\nrenew = "1d"\nrenew_before = "2h"\nrenew_limit = "1 times"\n'


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=600) as made:
        yield made


async def rented(land: World, service: Service, dbc: str = "200000") -> Lease:
    await service.login("1024gpu", {})
    await land.faucet(service, dbc)
    return await service.rent(
        TripSpec(provider="1024gpu", wish=Requirements(gpu="2080Ti"), term=DAY, staged=False, only_rent=True)
    )


def shop_books(land: World, kind: str) -> list[int]:
    return [-line.amount.amount for line in land.cloud.ledgers()["1024gpu"] if line.kind == kind]


async def settled(land: World, service: Service, renewals: int) -> None:
    """So many renewals at the shop, so many payments in the wallet's ledger, and not a unit more has left."""
    account = dict(service.whoami())["1024gpu"]
    lines = [line for line in land.cloud.ledgers()["dbc"] if line.account == account]
    left = [-line.amount.amount for line in lines if line.amount.amount < 0]
    assert len(shop_books(land, "renewal")) == renewals
    spent = [amount for kind in ("binding", "rent", "renewal") for amount in shop_books(land, kind)]
    assert sorted(left) == sorted(spent)
    balance = (await service.balance("1024gpu")).available
    assert balance.amount == sum(line.amount.amount for line in lines)
    (lease,) = service.desk.journal.leases()
    (total,) = (await service.receipt(lease.id)).totals()
    assert total.paid.amount == sum(shop_books(land, "rent") + shop_books(land, "renewal"))


async def near_the_end(land: World, lease: Lease, left: timedelta) -> None:
    assert lease.expires_at is not None
    await land.cloud.advance(lease.expires_at - land.cloud.clock.now() - left)


async def test_a_lease_is_renewed_on_time_and_only_as_far_as_the_policy_goes(land: World) -> None:
    policy(land, ONCE)
    person = Person()
    async with land.desk(person) as service:
        lease = await rented(land, service)
        assert lease.expires_at is not None
        async with guarding(service):
            await near_the_end(land, lease, timedelta(hours=4))
            await until(lambda: service.desk.lease(lease.id).expires_at != lease.expires_at)
            longer = service.desk.lease(lease.id)
            assert longer.expires_at == lease.expires_at + DAY
            await until(lambda: EventKind.RENEWED in person.kinds())
            await near_the_end(land, longer, timedelta(hours=2))
            await until(lambda: service.desk.lease(lease.id).over)
        (renewed,) = [event for event in person.events if event.kind is EventKind.RENEWED]
        assert renewed.at < lease.expires_at
        await settled(land, service, renewals=1)


async def test_a_guard_killed_at_every_step_renews_exactly_once(tmp_path: Path) -> None:
    async with world(tmp_path, speed=60) as land, zygote() as client:
        policy(land, ONCE)
        async with land.desk() as service:
            lease = await rented(land, service)
            await near_the_end(land, lease, timedelta(minutes=110))
            task = {"environment": dict(land.environment()), "home": str(land.home / "state"), "watch": True}
            spare: list[str] = []
            while "died" in (answer := await client.run(**task, spare=spare)):
                assert answer["died"] not in spare, "dead twice at one point"
                spare.append(answer["died"])
            assert answer == {"end": 0, "trouble": []}
            steps = {"order", "quote", "leg0.reserve", "leg0.bill", "leg0.pay", "leg0.confirm"}
            assert {f"{step}:{phase}" for step in steps for phase in ("begun", "effect", "recorded")} <= set(
                spare
            )
            assert lease.expires_at is not None
            assert service.desk.lease(lease.id).expires_at == lease.expires_at + DAY
            assert await client.run(**task, spare=["*:*"]) == {"end": 0, "trouble": []}
            await settled(land, service, renewals=1)


async def watcher(land: World, *more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gpurent.cli.main", "watch", *more),
        cwd=land.home,
        env={**land.environment(), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def said(process: asyncio.subprocess.Process, word: bytes) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while word not in (line := await process.stderr.readline()):
            assert line, "it ended"


async def test_two_guards_and_the_first_killed_while_it_pays_renew_once(tmp_path: Path) -> None:
    """The second stands by, and takes over what the first has begun, before the shop's window for the payment ends."""
    async with world(tmp_path, speed=60) as land, land.desk() as service:
        policy(land, ONCE.replace('"2h"', '"8h"'))
        lease = await rented(land, service)
        first = await watcher(land)
        await until((land.home / "state" / "locks" / "guard.lock").exists)
        second = await watcher(land)
        try:
            await said(second, str(first.pid).encode())
            third = await watcher(land, "--once")
            await said(third, str(first.pid).encode())
            assert await third.wait() == 0
            payments = len(land.cloud.ledgers()["dbc"])
            await near_the_end(land, lease, timedelta(hours=7))
            await until(lambda: len(land.cloud.ledgers()["dbc"]) > payments)
            first.kill()
            await first.wait()
            assert lease.expires_at is not None
            await until(lambda: service.desk.lease(lease.id).expires_at == lease.expires_at + DAY)
            await until(lambda: all(row.outcome for row in service.trips()))
        finally:
            for process in (first, second):
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
        assert second.returncode == 0, "asked to stop, it ends well"
        await settled(land, service, renewals=1)


async def test_a_renewal_of_the_user_s_own_makes_the_guard_s_needless(land: World) -> None:
    policy(land, ONCE)
    async with land.desk() as service:
        lease = await rented(land, service)
        await near_the_end(land, lease, timedelta(minutes=100))
        async with land.desk() as other:
            await asyncio.gather(service.renew(lease.id, DAY), Guard.of(other).once())
        assert lease.expires_at is not None
        await settled(land, service, renewals=len(shop_books(land, "renewal")))
        assert len(shop_books(land, "renewal")) in (1, 2)


async def test_a_budget_forbids_a_renewal_before_anything_is_ordered(land: World) -> None:
    policy(land, ONCE + 'budget = "3000DBC"\n')
    person = Person()
    async with land.desk(person) as service:
        lease = await rented(land, service)
        await near_the_end(land, lease, timedelta(minutes=100))
        guard = Guard.of(service)
        for _look in range(2):
            (looked,) = await guard.once()
            assert "budget of 3,000 DBC" in looked.trouble
        assert len([event for event in person.events if "budget of" in event.text]) == 1, "told once"
        assert [row.kind for row in service.trips()] == ["rent"]
        await settled(land, service, renewals=0)


async def test_too_little_in_the_wallet_is_told_once_and_renewed_when_it_has_come(land: World) -> None:
    policy(land, ONCE + 'top_up = "100DBC"\n')
    person = Person()
    async with land.desk(person) as service:
        lease = await rented(land, service, dbc="2500")
        await near_the_end(land, lease, timedelta(minutes=100))
        guard = Guard.of(service)
        for _look in range(2):
            (looked,) = await guard.once()
            assert looked.trouble == ""
        (told,) = [event for event in person.events if event.kind is EventKind.TOP_UP]
        assert float(told.data["amount"]) > 1400, "what is missing, which is more than the policy's least"
        await settled(land, service, renewals=0)
        await land.faucet(service, "5000")
        await until_settled(land)
        await guard.once()
        assert person.kinds().count(EventKind.TOPPED_UP) == 1
        assert lease.expires_at is not None
        assert service.desk.lease(lease.id).expires_at == lease.expires_at + DAY
        await settled(land, service, renewals=1)


async def until_settled(land: World) -> None:
    """What was bought shows in the ledger."""
    await land.cloud.tick()

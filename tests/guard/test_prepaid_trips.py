"""The guard over a prepaid shop: renewed by policy exactly once for each period, whatever happens to the guard."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.model.events import EventKind
from gpurent.model.lease import Lease
from gpurent.model.offer import Wish
from gpurent.model.trip import Want
from gpurent.workflow.guard.loop import Guard
from gpurent.workflow.service import Service
from tests.guard.watching import guarding, policy, until
from tests.workflow.world import ROOT, Person, World, world

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
        Want(provider="1024gpu", wish=Wish(gpu="2080Ti"), term=DAY, staged=False, only_rent=True)
    )


def renewals(land: World) -> list[int]:
    """Amounts that the shop booked for renewals."""
    return [line.amount.amount for line in land.cloud.ledgers()["1024gpu"] if "renew" in line.kind]


async def near_the_end(land: World, lease: Lease, left: timedelta) -> None:
    assert lease.expires_at is not None
    await land.cloud.advance(lease.expires_at - land.cloud.clock.now() - left)


async def test_a_lease_is_renewed_on_time_and_only_as_far_as_the_policy_goes(land: World) -> None:
    policy(land, ONCE)
    person = Person()
    async with land.desk(person) as service:
        lease = await rented(land, service)
        async with guarding(service):
            await near_the_end(land, lease, timedelta(hours=4))
            await until(lambda: service.desk.lease(lease.id).expires_at != lease.expires_at)
            longer = service.desk.lease(lease.id)
            assert longer.expires_at == lease.expires_at + DAY
            assert land.cloud.clock.now() < lease.expires_at
            await near_the_end(land, longer, timedelta(hours=2))
            await until(lambda: service.desk.lease(lease.id).over)
        print([ (l.kind, l.amount) for l in land.cloud.ledgers()["1024gpu"]])
        print([ (l.kind, l.amount, l.account) for l in land.cloud.ledgers()["dbc"]])
        assert person.kinds().count(EventKind.RENEWED) == 1
        assert 0

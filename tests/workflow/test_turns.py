"""Two hands on one lease at once: an order and a return never cross, whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseError
from gpurent.workflow.trips.operations import Service
from tests.workflow.world import Person, World, world

DAY = timedelta(days=1)


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=240) as made:
        yield made


async def rented(land: World, service: Service) -> Lease:
    await service.login("1024gpu", {})
    await land.faucet(service, "90000")
    return await service.rent(
        TripSpec(provider="1024gpu", wish=Requirements(gpu="2080Ti"), term=DAY, staged=False, only_rent=True)
    )


async def balance(service: Service) -> Decimal:
    return (await service.balance("1024gpu")).available.decimal


async def test_a_return_waits_for_a_renewal_under_way(land: World) -> None:
    person = Person()
    async with land.desk(person) as service:
        lease = await rented(land, service)
        before = await balance(service)
        paying = asyncio.Event()

        def hear(event: Event) -> None:
            if event.kind is EventKind.PAYING:
                paying.set()

        person.watchers.append(hear)
        renewing = asyncio.create_task(service.renew(lease.id, DAY))
        await paying.wait()
        async with land.desk() as other:
            receipt = await other.release(lease.id)
        await renewing
        (total,) = receipt.totals()
        assert any(charge.kind.value == "renewal" for charge in receipt.charges)
        assert total.refunded.amount > total.paid.amount * 9 // 10, "both days come back"
        paid_first = next(charge for charge in receipt.charges if charge.kind.value == "use").money
        assert await balance(service) == before + paid_first.decimal - total.spent.decimal
    assert list(land.cloud.burning()) == []


async def test_a_renewal_after_the_return_pays_nothing(land: World) -> None:
    person = Person()
    async with land.desk(person) as service:
        lease = await rented(land, service)
        begun = asyncio.Event()

        def hear(event: Event) -> None:
            if event.kind is EventKind.STEP_BEGUN:
                begun.set()

        person.watchers.append(hear)
        returning = asyncio.create_task(service.release(lease.id))
        await begun.wait()
        async with land.desk() as other:
            with pytest.raises(LeaseError) as caught:
                await other.renew(lease.id, DAY)
        assert caught.value.spent.value == "no"
        receipt = await returning
        assert [charge.kind.value for charge in receipt.charges] == ["use", "refund"]
    assert list(land.cloud.burning()) == []

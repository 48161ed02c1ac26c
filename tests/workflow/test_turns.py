"""Two hands on one lease at once: an order and a return never cross, whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripLimits, TripSpec, Upload
from gpurent.errors import LeaseError
from tests.workflow.world import Person, World, world

DAY = timedelta(days=1)


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=240) as made:
        yield made


async def rented(land: World, application: Application) -> Lease:
    await application.account_commands.login("1024gpu", {})
    await land.faucet(application, "90000")
    return await application.trips.rent(
        TripSpec(
            requirements=Requirements(gpu="2080Ti"),
            upload=Upload(staged=False),
            limits=TripLimits(term=DAY),
            provider="1024gpu",
            rent_only=True,
        )
    )


async def balance(application: Application) -> Decimal:
    return (await application.account_money.balance("1024gpu")).available.decimal


async def test_a_return_waits_for_a_renewal_under_way(land: World) -> None:
    person = Person()
    async with land.application(person) as application:
        lease = await rented(land, application)
        before = await balance(application)
        paying = asyncio.Event()

        def hear(event: Event) -> None:
            if event.kind is EventKind.PAYING:
                paying.set()

        person.watchers.append(hear)
        renewing = asyncio.create_task(application.lease_changes.renew(lease.id, DAY))
        await paying.wait()
        async with land.application() as other:
            receipt = await other.releases.release(lease.id)
        await renewing
        (total,) = receipt.totals()
        assert any(charge.kind.value == "renewal" for charge in receipt.charges)
        assert total.refunded.amount > total.paid.amount * 9 // 10, "both days come back"
        paid_first = next(charge for charge in receipt.charges if charge.kind.value == "use").money
        assert await balance(application) == before + paid_first.decimal - total.spent.decimal
    assert list(land.cloud.burning()) == []


async def test_a_renewal_after_the_return_pays_nothing(land: World) -> None:
    person = Person()
    async with land.application(person) as application:
        lease = await rented(land, application)
        begun = asyncio.Event()

        def hear(event: Event) -> None:
            if event.kind is EventKind.STEP_BEGUN:
                begun.set()

        person.watchers.append(hear)
        returning = asyncio.create_task(application.releases.release(lease.id))
        await begun.wait()
        async with land.application() as other:
            with pytest.raises(LeaseError) as caught:
                await other.lease_changes.renew(lease.id, DAY)
        assert caught.value.spent.value == "no"
        receipt = await returning
        assert [charge.kind.value for charge in receipt.charges] == ["use", "refund"]
    assert list(land.cloud.burning()) == []

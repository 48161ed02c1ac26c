"""Two processes on one lease: an order and a release never interleave, whichever comes first."""

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
from gpurent.domain.trip import TripLimits, TripSpec, UploadSpec
from gpurent.errors import LeaseError, Spent
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

DAY = timedelta(days=1)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=240) as made:
        yield made


async def rent_machine(sandbox: TripSandbox, application: Application) -> Lease:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "90000")
    return await application.trips.rent(
        TripSpec(
            requirements=Requirements(gpu="2080Ti"),
            upload=UploadSpec(staged=False),
            limits=TripLimits(term=DAY),
            provider="1024gpu",
            rent_only=True,
        )
    )


async def get_balance(application: Application) -> Decimal:
    return (await application.account_money.get_balance("1024gpu")).available.decimal


async def test_a_release_waits_for_a_renewal_under_way(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        lease = await rent_machine(sandbox, application)
        before = await get_balance(application)
        paying = asyncio.Event()

        def on_event(event: Event) -> None:
            if event.kind is EventKind.PAYING:
                paying.set()

        user.watchers.append(on_event)
        renewing = asyncio.create_task(application.lease_changes.renew(lease.id, DAY))
        await paying.wait()
        async with sandbox.open_application() as other:
            receipt = await other.releases.release_lease(lease.id)
        await renewing
        (total,) = receipt.totals()
        assert any(charge.kind.value == "renewal" for charge in receipt.charges)
        assert total.refunded.amount > total.paid.amount * 9 // 10, "both days come back"
        paid_first = next(charge for charge in receipt.charges if charge.kind.value == "usage").money
        assert await get_balance(application) == before + paid_first.decimal - total.spent.decimal
    assert list(sandbox.cloud.burning()) == []


async def test_a_renewal_after_the_release_pays_nothing(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        lease = await rent_machine(sandbox, application)
        started = asyncio.Event()

        def on_event(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED:
                started.set()

        user.watchers.append(on_event)
        returning = asyncio.create_task(application.releases.release_lease(lease.id))
        await started.wait()
        async with sandbox.open_application() as other:
            with pytest.raises(LeaseError) as caught:
                await other.lease_changes.renew(lease.id, DAY)
        assert caught.value.spent is Spent.NO
        receipt = await returning
        assert [charge.kind.value for charge in receipt.charges] == ["usage", "refund"]
    assert list(sandbox.cloud.burning()) == []

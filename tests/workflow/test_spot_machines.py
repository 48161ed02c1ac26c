"""A trip on a spot machine that others outbid: nothing is given up, and it goes on when the machine is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.domain.money import USD, UnitPrice
from gpurent.domain.offer import Requirements
from gpurent.errors import ConfirmationRequired, LeaseGone, UsageError
from tests.workflow.test_stopped_machines import RENT, log_in, run_detached
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

SPOT = evolve(RENT, requirements=Requirements(spot=True))


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


async def outbid(sandbox: TripSandbox) -> Any:
    """Let others pay more for the only machine; return the simulator's instance."""
    state = sandbox.get_simulator_state("vast")
    (instance,) = state.iter_instances()
    async with state.lock:
        await state.catch_up()
        await state.set_price(instance.machine.machine_id, instance.machine.price * 2)
    return instance


async def test_a_bid_is_raised_after_a_yes_and_never_for_another_machine(sandbox: TripSandbox) -> None:
    user = ScriptedUser(confirms=True)
    price = UnitPrice(Decimal(2), USD)
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        lease = await application.trips.rent(SPOT)
        assert "It is interrupted, with its job" in "\n".join(user.questions[0].details)
        instance = await outbid(sandbox)
        seen = await application.leases.refresh_lease(lease.id)
        assert (seen.state, seen.is_over) == (LeaseState.INTERRUPTED, False)
        assert seen.current_price == lease.offer.stopped_price
        raised = await application.bid_changes.change_bid(lease.id, price)
        assert "48.00 USD a day" in user.questions[-1].details[1]
        assert instance.gpu_price == 2_000_000
        assert raised.offer.tariff.price.value > 2
        other = await application.trips.rent(RENT)
        with pytest.raises(UsageError, match="no spot machine"):
            await application.bid_changes.change_bid(other.id, price)
    async with sandbox.open_application(ScriptedUser(agrees_to_price=None)) as application:
        with pytest.raises(ConfirmationRequired):
            await application.bid_changes.change_bid(lease.id, UnitPrice(Decimal(9), USD))
        for name in (lease.id, other.id):
            await application.releases.release_lease(name)
    assert list(sandbox.cloud.burning()) == []


async def test_a_trip_that_was_outbid_keeps_its_machine_and_fetches_its_results(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    await asyncio.to_thread(folder.mkdir)
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in(sandbox, application)
        begun = await run_detached(application, folder, SPOT)
        await asyncio.sleep(1)
        await outbid(sandbox)
        with pytest.raises(LeaseGone) as caught:
            await application.trips.resume(begun.trip_id)
        assert "interrupted by the provider" in caught.value.message
        assert f"gpurent resume {begun.trip_id}" in caught.value.hint
        assert (await application.leases.get_lease(begun.lease_id)).state is LeaseState.INTERRUPTED
        await application.bid_changes.change_bid(begun.lease_id, UnitPrice(Decimal(2), USD))
        await application.poller.pause(timedelta(seconds=30))
        with pytest.raises(LeaseGone):
            await application.trips.resume(begun.trip_id)
    assert (folder / "result.txt").read_text() == "done\n"
    assert list(sandbox.cloud.burning()) == []

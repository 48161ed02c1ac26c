"""A machine that is stopped keeps its disk, which costs money, and is started again as the same machine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import Known, Lease, LeaseState, SoldOut
from plugins.vast.tests.vast_harness import vast_harness
from plugins.vast.tests.vast_simulator_books import check_books, disk_cost
from plugins.vast.tests.vast_simulator_harness import SSH_AFTER


async def test_a_stopped_machine_costs_its_disk_until_it_is_released() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        stopping = await user.provider.stop_lease(lease)
        assert isinstance(stopping, Lease)
        await user.api.advance(seconds=5)
        stopped = await user.refresh(lease)
        assert (stopped.state, stopped.is_over, stopped.endpoint) == (LeaseState.STOPPED, False, None)
        assert stopped.current_price == stopped.offer.stopped_price
        before = await user.api.credit()
        await user.api.advance(days=1)
        site = user.instance.machine.site
        cost = disk_cost(site.storage / 10**6, 16, 24 * 3600)
        assert before - await user.api.credit() in (cost, cost + 1)
        assert stopped.current_price.cost(timedelta(days=1)).amount in (cost, cost + 1)
        assert (await user.release(stopped)).state is LeaseState.RELEASED
        charges = await user.billing.list_charges(stopped)
        assert isinstance(charges, Known)
        assert sum(charge.money.amount for charge in charges.items) == user.instance.compute_cost(
            user.api.state.at
        )
        await check_books(user.api)


async def test_stopping_twice_and_starting_twice_is_no_error() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        for _turn in range(2):
            await user.provider.stop_lease(lease)
            await user.api.advance(seconds=5)
        stopped = await user.refresh(lease)
        started = [await user.provider.start_lease(stopped) for _turn in range(2)]
        assert all(isinstance(item, Lease) and not item.is_stopped for item in started)
        await user.api.sandbox.advance(SSH_AFTER)
        again = await user.refresh(stopped)
        assert (again.state, again.ref) == (LeaseState.READY, lease.ref)
        assert again.endpoint is not None


async def test_a_start_whose_gpus_are_taken_is_not_left_queued() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        await user.provider.stop_lease(lease)
        await user.api.advance(seconds=5)
        stopped = await user.refresh(lease)
        machine = user.instance.machine
        user.api.state.rent_by_others(machine.machine_id)
        with pytest.raises(SoldOut) as caught:
            await user.provider.start_lease(stopped)
        assert caught.value.burning == (lease.id,)
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED
        user.api.state.free_by_others(machine.machine_id)
        await user.api.advance(hours=1)
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED, "nothing started it behind our back"
        assert isinstance(await user.provider.start_lease(stopped), Lease)


async def test_a_machine_that_waits_for_its_gpus_is_starting() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        await user.provider.stop_lease(lease)
        await user.api.advance(seconds=5)
        user.api.state.rent_by_others(user.instance.machine.machine_id)
        await user.api.put(f"/api/v0/instances/{lease.ref}/", state="running")
        waiting = await user.refresh(lease)
        assert waiting.state is LeaseState.PROVISIONING
        assert "waits for its GPUs" in waiting.note


async def test_a_machine_that_is_gone_is_absent_to_stop_and_start() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running()
        await user.api.request("DELETE", f"/api/v0/instances/{lease.ref}/")
        for ask in (user.provider.stop_lease, user.provider.start_lease):
            assert not isinstance(await ask(evolve(lease, state=LeaseState.STOPPED)), Lease)


async def test_credit_that_ran_out_stops_the_machine_and_its_disk_still_costs() -> None:
    async with vast_harness("1") as user:
        lease = await user.rent_running()
        await user.api.advance(hours=20)
        stopped = await user.refresh(lease)
        assert stopped.state is LeaseState.STOPPED
        assert await user.api.credit() < 0
        await user.api.advance(hours=49)
        gone = await user.provider.refresh_lease(stopped)
        assert not isinstance(gone, Lease), "without money, vast.ai deletes it"

"""A pod that is stopped keeps its volume, which costs money, and is pinned to the host where it starts again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import Absent, Lease, LeaseError, LeaseState, MoneyError, SoldOut
from plugins.runpod.tests.runpod_harness import runpod_harness


async def test_a_stopped_pod_costs_twice_for_its_disk_and_says_that_it_costs_nothing() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running(disk=100)
        stopped = await user.provider.stop_lease(lease)
        assert isinstance(stopped, Lease)
        assert (stopped.state, stopped.is_over, stopped.endpoint) == (LeaseState.STOPPED, False, None)
        shown = await user.api.show(lease.ref)
        assert (shown["status"], shown["cost"], shown["mounts"]["persistent"]["size"]) == ("EXITED", 0, 100)
        before = user.api.account.balance
        await user.api.advance(days=3)
        spent = before - user.api.account.balance
        expected = 100 * 200_000 * 3 // 30
        assert abs(spent - expected) <= expected // 500
        assert abs(stopped.current_price.cost(timedelta(days=3)).amount - expected) <= 1
        assert (await user.release(stopped)).state is LeaseState.RELEASED
        await user.api.check_books()


async def test_a_stopped_pod_is_pinned_to_its_host() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        stopped = await user.provider.stop_lease(lease)
        assert isinstance(stopped, Lease)
        host = user.api.pod.host
        assert host is not None
        user.api.state.stock.let_others_rent(host)
        with pytest.raises(SoldOut, match="not enough free GPUs") as caught:
            await user.provider.start_lease(stopped)
        assert caught.value.burning == (lease.id,)
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED
        host.tenants.clear()
        await user.api.advance(hours=1)
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED, "nothing started it behind our back"
        started = await user.provider.start_lease(stopped)
        assert isinstance(started, Lease)
        assert started.state is LeaseState.PROVISIONING
        assert isinstance(await user.provider.start_lease(started), Lease), "it has started already"


async def test_a_locked_pod_is_not_stopped() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        await user.api.request("PATCH", f"/v2/pods/{lease.ref}", json={"locked": True})
        with pytest.raises(LeaseError, match="action stop is not allowed") as caught:
            await user.provider.stop_lease(lease)
        assert caught.value.burning == (lease.id,)
        assert (await user.refresh(lease)).state is LeaseState.READY
        assert (await user.release(lease)).is_over


async def test_a_pod_that_is_gone_is_absent_to_everything() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        await user.api.request("DELETE", f"/v2/pods/{lease.ref}")
        stopped = evolve(lease, state=LeaseState.STOPPED)
        asks: list[Any] = [
            user.provider.refresh_lease(lease),
            user.provider.release_lease(lease),
            user.provider.stop_lease(lease),
            user.provider.start_lease(stopped),
        ]
        for ask in asks:
            assert isinstance(await ask, Absent)


async def test_a_pod_in_error_is_no_end() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        await user.api.state.life.fail(user.api.pod, user.api.state.at)
        broken = await user.refresh(lease)
        assert (broken.state, broken.is_over, broken.endpoint) == (LeaseState.INTERRUPTED, False, None)
        assert (await user.release(broken)).state is LeaseState.RELEASED


async def test_credit_that_ran_out_stops_the_pod_and_later_ends_it() -> None:
    async with runpod_harness("1") as user:
        lease = await user.rent_running()
        await user.api.advance(hours=20)
        stopped = await user.refresh(lease)
        assert stopped.state is LeaseState.STOPPED
        assert (await user.billing.get_balance()).available.amount < 0
        with pytest.raises(MoneyError):
            await user.provider.start_lease(stopped)
        await user.api.advance(hours=25)
        assert isinstance(await user.provider.refresh_lease(stopped), Absent)
        assert user.api.simulator.list_billed_machines() == []

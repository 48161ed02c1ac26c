"""A machine that is shut down: free of charge, started again as the same machine, and deleted after 15 days."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import Absent, Known, Lease, LeaseState, SoldOut, Spent
from plugins.autodl.tests.autodl_harness import autodl_harness


async def test_shut_down_it_costs_nothing_and_says_how_long_it_is_kept() -> None:
    async with autodl_harness() as user:
        lease = await user.rent_running()
        await user.api.advance(hours=1)
        stopped = await user.stop(lease)
        assert (stopped.state, stopped.is_over, stopped.is_kept_free) == (LeaseState.STOPPED, False, True)
        assert stopped.current_price.value == 0
        stop = user.instance.runs[0].stopped_at
        assert stop is not None
        assert stopped.kept_until == stop + timedelta(days=15)
        before, charged = await user.api.assets(), await user.sum_charges(stopped)
        await user.api.advance(days=3)
        later = await user.refresh(stopped)
        assert later.kept_until == stopped.kept_until
        assert (await user.api.assets(), await user.sum_charges(later)) == (before, charged)
        assert charged == 50_000 - before


async def test_it_starts_at_another_port_with_another_password_and_both_runs_are_charged() -> None:
    async with autodl_harness() as user:
        lease = await user.rent_running()
        first = user.user.vault("autodl").get(lease.password_ref)
        stopped = await user.stop(lease)
        await user.api.advance(days=1)
        for started in [await user.provider.start_lease(stopped) for _turn in range(2)]:
            assert isinstance(started, Lease)
            assert (started.state, started.kept_until) == (LeaseState.PROVISIONING, None)
        await user.api.advance(seconds=12)
        again = await user.refresh(stopped)
        assert (again.state, again.ref) == (LeaseState.READY, lease.ref)
        assert again.endpoint is not None
        assert lease.endpoint is not None
        assert again.endpoint.port != lease.endpoint.port
        second = user.user.vault("autodl").get(lease.password_ref)
        assert second is not None
        assert second != first
        assert second.reveal() == user.instance.password
        assert again.access_source.is_proof_of(again.endpoint)
        await user.api.advance(minutes=30)
        ended = await user.release(again)
        found = await user.billing.list_charges(ended)
        assert isinstance(found, Known)
        assert len({charge.ref for charge in found.items}) == len(found.items) == 2
        assert not any(charge.growing for charge in found.items)
        assert await user.sum_charges(ended) == 50_000 - await user.api.assets()
        assert await user.api.simulator.list_discrepancies() == []


async def test_a_start_that_is_sold_out_leaves_it_off() -> None:
    async with autodl_harness(machines=1) as user:
        stopped = await user.stop(await user.rent_running())
        other = await user.api.rent()
        with pytest.raises(SoldOut) as caught:
            await user.provider.start_lease(stopped)
        assert caught.value.spent is Spent.NO
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED
        await user.api.advance(seconds=15)
        await user.api.pro("power_off", other)
        await user.api.advance(hours=1)
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED, "nothing started it behind our back"
        assert isinstance(await user.provider.start_lease(stopped), Lease)


async def test_a_stop_is_what_autodl_says_and_not_that_it_was_asked() -> None:
    """While it starts, a stop is answered with success and has no effect."""
    async with autodl_harness() as user:
        lease = await user.confirm(await user.reserve())
        asked = await user.provider.stop_lease(lease)
        assert isinstance(asked, Lease)
        assert asked.state is LeaseState.PROVISIONING
        await user.api.advance(seconds=20)
        assert user.instance.status == "running"
        again = await user.provider.stop_lease(asked)
        assert isinstance(again, Lease)
        assert again.state is LeaseState.INTERRUPTED, "it is being shut down"
        repeated = await user.provider.stop_lease(again)
        assert isinstance(repeated, Lease), "a second stop is refused, and no error"
        await user.api.advance(seconds=6)
        assert (await user.refresh(again)).state is LeaseState.STOPPED


@pytest.mark.parametrize("after", [0, 5, 30])
async def test_a_release_gets_there_from_any_state(after: int) -> None:
    async with autodl_harness() as user:
        lease = await user.confirm(await user.reserve())
        await user.api.advance(seconds=after)
        released = await user.release(lease)
        assert released.state is LeaseState.RELEASED
        assert user.instance.is_released or user.instance.status == "releasing"
        assert await user.sum_charges(released) == 50_000 - await user.api.assets()


async def test_a_release_that_the_console_forestalled_is_no_error() -> None:
    async with autodl_harness() as user:
        stopped = await user.stop(await user.rent_running())
        await user.api.pro("release", stopped.ref)
        seen = await user.provider.release_lease(stopped)
        assert isinstance(seen, Lease)
        assert seen.state is LeaseState.RELEASED
        await user.api.advance(seconds=5)
        assert isinstance(await user.provider.release_lease(stopped), Absent)
        for ask in (user.provider.stop_lease, user.provider.start_lease):
            assert isinstance(await ask(stopped), Absent)


async def test_after_15_days_it_is_gone_and_not_missing() -> None:
    async with autodl_harness() as user:
        stopped = await user.stop(await user.rent_running())
        await user.api.advance(days=14)
        assert (await user.refresh(stopped)).state is LeaseState.STOPPED
        await user.api.advance(days=1, seconds=10)
        once = await user.refresh(stopped)
        assert once.state is LeaseState.MISSING
        await user.api.advance(seconds=31)
        gone = await user.refresh(once)
        assert (gone.state, gone.is_over) == (LeaseState.GONE, True)


async def test_money_that_runs_out_shuts_it_down_and_the_charges_agree() -> None:
    async with autodl_harness(1) as user:
        lease = await user.rent_running()
        await user.api.advance(hours=2)
        seen = await user.refresh(lease)
        assert seen.state is LeaseState.STOPPED
        assert await user.api.assets() <= 0
        assert await user.sum_charges(seen) == 1_000 - await user.api.assets()
        assert (await user.release(evolve(seen))).state is LeaseState.RELEASED

"""Spot machines: what they cost, what outbids them, and the create that fails and leaves a machine behind."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from attrs import evolve

from gpurent.api import (
    CNY,
    Absent,
    Lease,
    LeaseState,
    Offer,
    Requirements,
    SoldOut,
    Spent,
    UnavailableError,
    UnitPrice,
    UsageError,
)
from gpurent.testing.fakes import HttpFaults
from gpurent_plugin_vast import wire
from plugins.vast.tests.vast_harness import VastHarness, vast_harness
from plugins.vast.tests.vast_simulator_books import check_books

SPOT = Requirements(spot=True)


def usd(price: str) -> UnitPrice:
    return UnitPrice(Decimal(price), wire.USD)


async def find_spot(user: VastHarness, bid: str = "") -> Offer:
    return (await user.list_offers(evolve(SPOT, bid=usd(bid) if bid else None)))[0]


async def test_a_spot_machine_costs_its_bid_and_its_disk() -> None:
    async with vast_harness() as user:
        (cheap, *_others), dear = await user.list_offers(SPOT), await user.list_offers()
        assert cheap.spot
        assert not any(offer.spot for offer in dear)
        full = next(offer for offer in dear if offer.key == cheap.key)
        assert cheap.tariff.price.value < full.tariff.price.value * Decimal("0.6")
        lease = await user.rent_running(offer=cheap)
        assert user.instance.is_bid
        before = await user.api.credit()
        await user.api.advance(hours=1)
        cost = before - await user.api.credit()
        expected = lease.offer.tariff.price.cost(timedelta(hours=1)).amount
        assert abs(cost - expected) <= 2


async def test_a_bid_is_the_price_and_one_that_is_too_low_finds_nothing() -> None:
    async with vast_harness() as user:
        least = await find_spot(user)
        offered = await find_spot(user, "5")
        assert 0 <= offered.tariff.price.value - 5 - wire.offer_storage(offered) < wire.PRICE_STEP
        assert await user.list_offers(evolve(SPOT, bid=usd("0.002"))) == []
        per_day = UnitPrice(Decimal(24), wire.USD, timedelta(days=1))
        (daily, *_more) = await user.list_offers(evolve(SPOT, machine=least.key, bid=per_day))
        assert daily.provider_data == {"bid": "1.000000"}
        with pytest.raises(UsageError, match="in USD"):
            await user.list_offers(evolve(SPOT, bid=UnitPrice(Decimal(1), CNY)))


async def test_outbid_is_interrupted_and_it_starts_again_when_the_bid_is_raised() -> None:
    async with vast_harness() as user:
        lease = await user.rent_running(offer=await find_spot(user))
        machine = user.instance.machine
        await user.api.state.set_price(machine.machine_id, machine.price * 2)
        outbid = await user.refresh(lease)
        assert (outbid.state, outbid.is_over) == (LeaseState.INTERRUPTED, False)
        assert "others pay more" in outbid.note
        assert outbid.current_price == outbid.offer.stopped_price
        raised = await user.provider.change_bid(outbid, usd("5"))
        assert isinstance(raised, Lease)
        assert raised.offer.tariff.price.value == wire.change_bid(lease.offer, Decimal(5)).tariff.price.value
        await user.api.advance(seconds=15)
        assert (await user.refresh(raised)).state is LeaseState.READY
        with pytest.raises(UsageError):
            await user.provider.change_bid(evolve(raised, offer=evolve(raised.offer, spot=False)), usd("5"))
        await user.release(raised)
        assert isinstance(await user.provider.change_bid(raised, usd("5")), Absent)
        await check_books(user.api)


async def outbid_before_create(user: VastHarness) -> Lease:
    """Reserve at the least bid, which is too low by the time of the create."""
    lease = await user.reserve(offer=await find_spot(user))
    machine = user.api.state.machines[int(lease.offer.key)]
    await user.api.state.set_price(machine.machine_id, machine.price * 2)
    return lease


async def test_what_a_refused_create_leaves_is_deleted_at_once() -> None:
    async with vast_harness() as user:
        lease = await outbid_before_create(user)
        with pytest.raises(SoldOut, match="what it left was deleted") as caught:
            await user.confirm(lease)
        assert caught.value.spent is Spent.NO
        assert user.instance.is_leftover
        assert user.instance.destroyed_at is not None
        await check_books(user.api)


async def test_a_refused_create_whose_answer_is_lost_leaves_nothing_either() -> None:
    async with vast_harness() as user:
        lease = await outbid_before_create(user)
        with pytest.raises(UnavailableError, match="answer was lost"):
            await user.confirm(lease, user.provider_with(HttpFaults(lose_response=1)))
        assert user.instance.is_billed
        with pytest.raises(SoldOut, match="what it left was deleted"):
            await user.confirm(user.mark_sent(lease))
        assert user.api.simulator.list_billed_machines() == []
        assert await user.api.simulator.list_discrepancies() == []


async def test_the_release_of_an_order_whose_create_was_refused_deletes_what_it_left() -> None:
    async with vast_harness() as user:
        lease = user.mark_sent(await outbid_before_create(user))
        await user.api.create(int(lease.offer.key), price="0.05", label=lease.label)
        ended = await user.release(lease)
        assert ended.state is LeaseState.CANCELLED
        assert user.instance.destroyed_at is not None


async def test_a_machine_that_was_stopped_later_is_not_taken_for_a_leftover() -> None:
    async with vast_harness() as user:
        lease = await user.reserve(offer=await find_spot(user))
        rented = await user.confirm(lease)
        await user.api.advance(hours=2)
        await user.provider.stop_lease(await user.refresh(rented))
        await user.api.advance(seconds=5)
        found = await user.refresh(user.mark_sent(lease))
        assert found.ref == rented.ref, "its files are not given up for a lost record"
        assert user.instance.destroyed_at is None

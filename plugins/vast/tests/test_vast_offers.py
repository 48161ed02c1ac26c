"""Offers of vast.ai: prices with the wanted disk, and what they state for the user's wishes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from gpurent.api import Requirements, TrafficPrice
from gpurent.domain.wishes import fits
from gpurent_plugin_vast import wire
from plugins.vast.tests.vast_harness import vast_harness
from plugins.vast.tests.vast_simulator_books import check_books


async def test_offers_state_what_can_be_wished_for() -> None:
    async with vast_harness() as user:
        for offer in await user.list_offers():
            machine = user.api.state.machines[int(offer.key)]
            assert offer.location == machine.site.geolocation
            assert offer.reliability == Decimal(machine.site.reliability) * 100
            assert offer.cuda == machine.model.cuda
            assert offer.traffic == TrafficPrice(
                upload=Decimal(machine.site.inet_down).scaleb(-6),
                download=Decimal(machine.site.inet_up).scaleb(-6),
                currency=wire.USD,
            )
            assert offer.disk is not None
            assert offer.disk.maximum == machine.disk_space
            assert fits(offer, Requirements(regions=(machine.site.geolocation.rpartition(", ")[2],)))


async def test_unreliable_hosts_are_not_even_listed() -> None:
    async with vast_harness(machines=4) as user:
        found = await user.list_offers(Requirements(min_reliability=Decimal("99.2")))
        assert {offer.location for offer in found} == {"Sweden, SE"}


async def test_a_larger_disk_is_in_the_price_of_the_offer_and_in_the_bill() -> None:
    async with vast_harness() as user:
        (small, *_rest) = await user.list_offers()
        large = next(item for item in await user.list_offers(Requirements(disk=150)) if item.key == small.key)
        assert small.disk is not None
        assert large.disk is not None
        assert (small.disk.free, large.disk.free) == (wire.DISK_GB, 150)
        extra = large.tariff.price.value - small.tariff.price.value
        assert abs(extra - small.disk.price.value * (150 - wire.DISK_GB)) < Decimal("1e-9")
        lease = await user.rent_running(offer=large, disk=150)
        assert user.instance.wish.disk == 150
        before = await user.api.credit()
        await user.api.advance(hours=1)
        expected = lease.offer.tariff.price.cost(timedelta(hours=1)).amount
        assert abs(before - await user.api.credit() - expected) <= 2
        assert await user.list_offers(Requirements(disk=1000)) == []
        (listed,) = (await user.provider.list_leases()).items  # type: ignore[union-attr]
        assert listed.offer.stopped_price == large.stopped_price
        await user.release(lease)
        await check_books(user.api)


async def test_a_gpu_is_found_by_any_spelling() -> None:
    async with vast_harness() as user:
        for spelling in ("4090", "rtx_4090", "RTX 4090", "NVIDIA GeForce RTX 4090"):
            names = {offer.hardware.gpu for offer in await user.list_offers(Requirements(gpu=spelling))}
            assert names == {"RTX 4090"}
        assert await user.list_offers(Requirements(gpu="H900")) == []

"""Contract tests for `SupportsInterruption`: a spot machine costs what is bid for it, and whoever bids knows it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from gpurent.domain.evidence import Absent, Known
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.offer import Metered, Offer
from gpurent.errors import UsageError
from gpurent.roles.lease import SupportsInterruption
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import BAD_ANSWERS, CallCounter, ask, faulty
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.lease import check_released
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider
from gpurent.testing.contracts.provider.price import check_burn

ROUNDING = Decimal("0.00001")


class InterruptionContract(ProviderContractBase):
    """Contract tests for machines that cost a bid. How a simulator outbids one is its plugin's own test."""

    def require_bids(self, opened: OpenProvider) -> SupportsInterruption:
        return require_capability(opened.provider, SupportsInterruption, opened.name)

    async def list_spot_offers(
        self, opened: OpenProvider, machine: str = "", bid: UnitPrice | None = None
    ) -> list[Offer]:
        self.require_bids(opened)
        wanted = evolve(opened.setup.requirements, spot=True, machine=machine, bid=bid)
        found = await opened.provider.list_offers(wanted)
        assert isinstance(found, Known)
        return [offer for offer in found.items if offer.available and opened.setup.wants(offer)]

    async def rent_spot(self, opened: OpenProvider) -> Driver:
        offers = await self.list_spot_offers(opened)
        assert offers, "the simulator has no spot machine to rent"
        driver = await opened.rent(await opened.make_order(offer=offers[0]))
        lease = driver.current_lease
        assert lease.offer.spot
        offered, paid = offers[0].tariff.price.value, lease.offer.tariff.price.value
        assert abs(paid - offered) <= offered * ROUNDING, f"{offered} was offered, and it costs {paid}"
        return driver

    async def test_only_what_takes_the_bid_is_offered(self, opened: OpenProvider) -> None:
        offers = await self.list_spot_offers(opened)
        assert offers
        assert all(offer.spot for offer in offers)
        assert not any(offer.spot for offer in await opened.list_offers())
        price = offers[0].tariff.price
        (dear,) = await self.list_spot_offers(opened, offers[0].key, raise_price(price, 2))
        assert dear.tariff.price.value >= 2 * price.value
        assert await self.list_spot_offers(opened, offers[0].key, raise_price(price, Decimal("0.01"))) == []

    async def test_a_bid_is_the_measured_burn(self, opened: OpenProvider) -> None:
        driver = await self.rent_spot(opened)
        await check_price(opened, driver.current_lease)
        before = driver.current_lease.offer.tariff.price
        for _turn in range(2):
            raised = await self.require_bids(opened).change_bid(driver.current_lease, raise_price(before, 2))
            assert isinstance(raised, Lease)
            assert raised.offer.tariff.price.value >= 2 * before.value
            driver.lease = raised
        await check_price(opened, await driver.refresh_lease())
        await driver.release_lease()
        await check_released(opened, driver)

    async def test_a_bad_answer_to_a_bid_is_no_bid(self, opened: OpenProvider) -> None:
        """A lease that comes back has the price that its machine costs; so has the next one that is read."""
        driver = await self.rent_spot(opened)
        lease = driver.current_lease
        raised = raise_price(lease.offer.tariff.price, 2)
        for answer in BAD_ANSWERS:
            for times in (1, None):
                async with faulty(opened, answer, times=times):
                    found = await ask(lambda: self.require_bids(opened).change_bid(lease, raised))
                if isinstance(found, Lease):
                    await check_price(opened, found)
                await check_price(opened, await driver.refresh_lease())

    async def test_no_bid_for_what_has_none(self, opened: OpenProvider) -> None:
        spot = await self.rent_spot(opened)
        lease = spot.current_lease
        price = lease.offer.tariff.price
        counter = CallCounter(opened)
        with pytest.raises(UsageError):
            await self.require_bids(opened).change_bid(
                evolve(lease, offer=evolve(lease.offer, spot=False)), price
            )
        assert counter.count == 0
        await spot.release_lease()
        assert isinstance(await self.require_bids(opened).change_bid(lease, price), Absent)


def raise_price(price: UnitPrice, factor: Decimal | int) -> UnitPrice:
    return evolve(price, value=price.value * factor)


async def check_price(opened: OpenProvider, lease: Lease) -> None:
    tariff = lease.offer.tariff
    assert isinstance(tariff, Metered)
    await check_burn(opened, tariff.price, tariff.billing_increment)

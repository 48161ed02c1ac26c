"""Contract tests for prices: what an offer says is what the simulator's ledger loses."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from attrs import evolve

from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.offer import Metered, Prepaid
from gpurent.testing.contracts.contract import skip_without
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import OpenProvider
from gpurent.workflow.payments.quotes import offer_cost

SPAN = timedelta(hours=3)
DISK_PART = Decimal("0.5")


async def check_burn(opened: OpenProvider, price: UnitPrice, increment: timedelta) -> None:
    """Check by the ledger, over `SPAN`, that the account loses ``price``, billed in steps of ``increment``."""
    before = opened.sum_ledger()
    await opened.advance(SPAN)
    burnt = before - opened.sum_ledger()
    least = price.cost(SPAN - increment, round_up=False).amount - 1
    most = price.cost(SPAN + increment).amount + 1
    slack = int(most * opened.setup.price_tolerance)
    assert least - slack <= burnt <= most + slack, f"{burnt} was charged, {least} to {most} expected"


class PriceContract(ProviderContractBase):
    """Contract tests for what a lease says it costs, measured by the ledger."""

    async def test_a_metered_price_is_the_measured_burn(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        tariff = driver.current_lease.offer.tariff
        if not isinstance(tariff, Metered):
            skip_without("metered price", opened.name)
        await opened.advance(timedelta(minutes=10))
        await check_burn(opened, tariff.price, tariff.billing_increment)

    async def test_the_price_of_a_larger_disk_is_in_the_measured_burn(self, opened: OpenProvider) -> None:
        for offer in await opened.list_offers():
            disk, tariff = offer.disk, offer.tariff
            if disk is not None and disk.price.value and isinstance(tariff, Metered):
                break
        else:
            skip_without("disk that is sold by its size", opened.name)
        free = disk.free * (offer.hardware.gpus if disk.is_per_gpu else 1)
        # So large that its price is seen beside that of the GPU.
        size = free + int(tariff.price.value * DISK_PART / disk.price.value)
        size = min(size, disk.maximum or size)
        wanted = evolve(opened.setup.requirements, machine=offer.key, disk=size)
        found = await opened.provider.list_offers(wanted)
        assert isinstance(found, Known), f"no offers: {found}"
        priced = [one for one in found.items if one.key == offer.key]
        assert priced, f"{offer.key} sells a disk of {size} GiB, and is no offer to whom wants it"
        order = evolve(await opened.make_order(offer=priced[0]), disk=size)
        await opened.rent(order)
        cost = offer_cost(priced[0], timedelta(days=100), disk=size)
        await check_burn(opened, UnitPrice(cost.decimal / 2400, cost.currency), tariff.billing_increment)

    async def test_a_prepaid_price_is_what_the_term_costs(self, opened: OpenProvider) -> None:
        order = await opened.make_order()
        tariff = order.offer.tariff
        if not isinstance(tariff, Prepaid):
            skip_without("prepaid price", opened.name)
        assert order.term is not None
        before = opened.sum_ledger()
        driver = await opened.rent(order)
        spent = before - opened.sum_ledger()
        bill = driver.current_lease.bills[0]
        assert spent <= bill.amount.amount, "more left the account than was billed"
        expected = await self.convert(opened, tariff.price.cost(order.term), bill.amount)
        if tariff.fee is not None:
            expected += await self.convert(opened, tariff.fee, bill.amount)
        slack = expected * Fraction(opened.setup.price_tolerance) + 1
        assert abs(spent - expected) <= slack, f"{spent} was charged, about {float(expected):.0f} expected"

    async def convert(self, opened: OpenProvider, money: Money, into: Money) -> Fraction:
        """Return an amount in minor units of the account's currency, at the account's own rate."""
        exact = Fraction(money.decimal)
        if money.currency.code != into.currency.code:
            rate = await opened.billing.get_rate(money.currency)
            exact /= Fraction(rate.value)
        return exact * Fraction(10) ** into.currency.exponent

    async def test_the_lease_has_the_price_of_the_offer(self, opened: OpenProvider) -> None:
        order = await opened.make_order()
        driver = await opened.rent(order)
        assert _get_price(driver.current_lease) == order.offer.tariff.price.value
        seen = await driver.refresh_lease()
        assert _get_price(seen) == order.offer.tariff.price.value

    async def test_unused_time_comes_back_if_the_tariff_says_so(self, opened: OpenProvider) -> None:
        order = await opened.make_order()
        tariff = order.offer.tariff
        if not isinstance(tariff, Prepaid) or not tariff.refundable:
            skip_without("refund", opened.name)
        driver = await opened.rent(order)
        paid = opened.sum_ledger()
        await driver.release_lease()
        await opened.settle()
        assert opened.sum_ledger() > paid, "nothing came back"


def _get_price(lease: Lease) -> Decimal:
    return lease.offer.tariff.price.value

"""A payment that the journal's loss has hidden: a release finds it at the provider, and it comes back."""

from __future__ import annotations

from gpurent.api import LeaseState, OrderKind
from gpurent.domain.lease_copy import make_lease_copy, restore_lease
from plugins.gpu1024.tests.gpu1024_harness import Driver, Gpu1024Harness, Gpu1024Renter


def lose_journal(driver: Driver, account: str) -> None:
    copy = make_lease_copy(driver.current_lease, account)
    assert copy is not None
    driver.lease = restore_lease(copy)
    assert driver.lease.pending is not None
    assert driver.lease.pending.bill is None


async def test_a_paid_order_that_was_never_shown(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    before, driver = renter.balance_units, renter.make_driver()
    await driver.reserve_lease(driver.provider.make_staging_order(await renter.make_order()))
    await driver.pay_bill(await driver.wait_for_bill())
    lose_journal(driver, renter.address)
    over = await driver.release_lease()
    assert over.state is LeaseState.RELEASED
    assert await harness.simulator.list_discrepancies() == []
    assert renter.balance_units == before, "the deposit came back"


async def test_a_paid_switch_that_was_never_shown(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    gpu = await renter.make_order()
    await driver.rent_machine(driver.provider.make_staging_order(gpu))
    await driver.reserve_lease(await renter.make_order(OrderKind.SWITCH, offer=gpu.offer))
    await driver.pay_bill(await driver.wait_for_bill())
    lose_journal(driver, renter.address)
    await driver.release_lease()
    assert await harness.simulator.list_discrepancies() == []
    assert list(harness.simulator.list_billed_machines()) == []

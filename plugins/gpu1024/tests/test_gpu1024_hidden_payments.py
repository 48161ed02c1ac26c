"""Payments that the journal or the provider's list lacks: a release finds them, and they come back."""

from __future__ import annotations

from datetime import timedelta

from gpurent.api import LeaseState, OrderKind
from gpurent.domain.lease_copy import make_lease_copy, restore_lease
from gpurent.testing.lease_driver import release_as_core
from plugins.gpu1024.tests.gpu1024_harness import Driver, Gpu1024Harness, Gpu1024Renter

HOUR = timedelta(hours=1)


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
    assert over.state is LeaseState.KEPT
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


async def test_a_renewal_paid_too_late_is_reclaimed_although_the_list_lacks_it_once(
    harness: Gpu1024Harness, renter: Gpu1024Renter
) -> None:
    driver = renter.make_driver()
    await driver.rent_machine(await renter.make_order())
    await driver.reserve_lease(driver.provider.make_renewal_order(driver.current_lease, HOUR, "renewal"))
    bill = await driver.wait_for_bill()
    harness.clock.advance(timedelta(minutes=20))
    await driver.pay_bill(bill)
    renewals, listed = harness.state.renewals, dict(harness.state.renewals)
    renewals.clear()
    driver.lease = await release_as_core(driver.provider, driver.current_lease, harness.clock.now())
    assert driver.lease.pending is not None, "that it is not listed says nothing"
    renewals.update(listed)
    assert (await driver.release_lease()).state is LeaseState.KEPT
    assert await harness.simulator.list_discrepancies() == []

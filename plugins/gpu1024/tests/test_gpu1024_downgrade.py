"""A GPU container switched back to a CPU container: files stay, unused time comes back, the deposit is held."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import ChargeKind, LeaseError, LeaseState, OrderKind
from plugins.gpu1024.tests.gpu1024_harness import UNITS, Gpu1024Harness, Gpu1024Renter

HOUR = timedelta(hours=1)


async def test_there_and_back_and_there_again(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    before, driver = renter.balance_units, renter.make_driver()
    gpu = evolve(await renter.make_order(), term=5 * HOUR)
    await driver.rent_machine(gpu)
    data = harness.machines.only_machine.spec.data
    harness.clock.advance(2 * HOUR)
    cpu = await driver.rent_machine(driver.provider.make_downgrade_order(driver.current_lease, "down"))
    first, held = renter.list_orders()
    assert (first.ended_well, held.kind, held.mode) == (True, "cpu", "deposit")
    assert harness.state.count_free_gpus(first.machine) == 1, "others can rent the GPU"
    assert first.stopped_at is not None
    paid = first.compute_cost(first.stopped_at)
    charges = await driver.sum_charges()
    assert charges[ChargeKind.USAGE] - charges[ChargeKind.REFUND] == paid
    assert before - renter.balance_units == paid + held.amount_due
    assert cpu.offer.key == gpu.offer.key
    assert cpu.provider_data["gpus"] == "0"
    await driver.rent_machine(evolve(gpu, key="up", kind=OrderKind.SWITCH))
    assert harness.machines.only_machine.spec.data == data, "its files are there"
    harness.clock.advance(HOUR)
    assert (await driver.release_lease()).state is LeaseState.KEPT
    orders = renter.list_orders()
    assert [order.kind for order in orders] == ["gpu", "cpu", "gpu"]
    assert before - renter.balance_units == sum(
        order.compute_cost(order.stopped_at) for order in orders if order.stopped_at
    )
    assert await harness.simulator.list_discrepancies() == []
    harness.check_ledgers_agree()


async def test_the_disk_is_as_large_as_before(renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await renter.top_up("200000")
    await driver.rent_machine(evolve(await renter.make_order(), disk=100))
    order = driver.provider.make_downgrade_order(driver.current_lease, "down")
    assert order.disk == 100
    await driver.rent_machine(order)
    assert renter.list_orders()[-1].disk == 100 * 1024**2
    assert driver.current_lease.provider_data["disk"] == "100"


async def test_only_one_way_at_a_time(renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await driver.rent_machine(driver.provider.make_staging_order(await renter.make_order()))
    with pytest.raises(LeaseError, match="容器已停止"):
        await driver.provider.reserve_lease(
            driver.provider.make_downgrade_order(driver.current_lease, "down")
        )


async def test_a_downgrade_that_is_not_paid_leaves_the_gpu(
    harness: Gpu1024Harness, renter: Gpu1024Renter
) -> None:
    driver = renter.make_driver()
    await driver.rent_machine(await renter.make_order())
    await driver.reserve_lease(driver.provider.make_downgrade_order(driver.current_lease, "down"))
    assert (await driver.wait_for_bill()).amount.amount > 60_000 * UNITS
    harness.clock.advance(timedelta(minutes=15))
    lease = await driver.refresh_lease()
    assert (lease.state, lease.provider_data["gpus"]) == (LeaseState.READY, "1")
    assert list(harness.simulator.list_billed_machines()) == [lease.ref]
    await driver.release_lease()
    assert await harness.simulator.list_discrepancies() == []

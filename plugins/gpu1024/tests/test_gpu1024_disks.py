"""How large a container's disk is: what is wanted and what is there already, never more than the machine has."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import LeaseState, OrderKind, SoldOut
from plugins.gpu1024.tests.gpu1024_harness import Gpu1024Harness, Gpu1024Renter

GIB = 1024**2  # in KiB
HOUR = timedelta(hours=1)


async def test_an_offer_states_its_largest_disk(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    offer = await renter.find_offer()
    assert offer.disk is not None
    assert offer.disk.maximum == 400
    harness.state.machines[offer.key].container_disk = 0
    offer = await renter.find_offer()
    assert offer.disk is not None
    assert offer.disk.maximum is None, "not stated"


async def test_a_disk_is_bought_up_to_what_the_machine_has(renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await driver.rent_machine(await renter.make_order(disk=400, term=HOUR))
    (order,) = renter.list_orders()
    assert order.disk == 370 * GIB, "30 GiB are free"


@pytest.mark.parametrize("is_cpu", [False, True])
async def test_a_larger_disk_is_refused_before_anything_is_ordered(
    renter: Gpu1024Renter, is_cpu: bool
) -> None:
    before, order = renter.balance_units, await renter.make_order(disk=401)
    wanted = renter.provider.make_staging_order(order) if is_cpu else order
    with pytest.raises(SoldOut, match=r"at most [0-9]+ GiB of disk for a container; 401 GiB are wanted"):
        await renter.provider.reserve_lease(wanted)
    assert renter.list_orders() == []
    assert renter.balance_units == before


async def test_a_cpu_container_has_what_is_left(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    order = await renter.make_order()
    harness.state.machines[order.offer.key].container_disk = 50 * GIB
    with pytest.raises(SoldOut, match="at most 30 GiB of disk for a container; 40 GiB are wanted"):
        await renter.provider.reserve_lease(renter.provider.make_staging_order(evolve(order, disk=40)))
    driver = renter.make_driver()
    await driver.rent_machine(driver.provider.make_staging_order(order))
    assert renter.list_orders()[0].disk == 30 * GIB


@pytest.mark.parametrize(("used", "chosen"), [(10, 30), (20, 30), (21, 60), (51, 100)])
async def test_files_that_are_there_have_room(renter: Gpu1024Renter, used: int, chosen: int) -> None:
    """10 GiB have to be free beside them."""
    await renter.top_up("200000")
    driver = renter.make_driver()
    gpu = await renter.make_order(term=3 * HOUR)
    await driver.rent_machine(gpu)
    renter.list_orders()[0].used_disk = used * GIB
    await driver.rent_machine(driver.provider.make_downgrade_order(driver.current_lease, "down"))
    assert renter.list_orders()[1].disk == chosen * GIB
    renter.list_orders()[1].used_disk = used * GIB
    await driver.rent_machine(evolve(gpu, key="up", kind=OrderKind.SWITCH))
    assert renter.list_orders()[2].disk == max(0, used + 10 - 30) * GIB
    assert (await driver.release_lease()).state is LeaseState.KEPT

"""Containers whose files are kept, started again: by deposit or with a GPU, once, and paid to the last unit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.api import ChargeKind, LeaseError, LeaseState, Order, OrderKind, PaidTooLate, SoldOut
from gpurent_plugin_gpu1024.simulator.state import BALANCE_INTERVAL
from plugins.gpu1024.tests.gpu1024_harness import (
    DAY,
    UNITS,
    Driver,
    Gpu1024Harness,
    Gpu1024Renter,
    gpu1024_harness,
)

HOUR = timedelta(hours=1)


async def keep_container(renter: Gpu1024Renter, driver: Driver) -> None:
    """Rent a GPU for three hours with 60 GiB of disk, and let its time run out."""
    order = await driver.retry_lost_responses(lambda: renter.make_order(provider=driver.provider))
    await driver.rent_machine(evolve(order, term=3 * HOUR, disk=60))
    renter.harness.clock.advance(3 * HOUR)
    await driver.refresh_lease()


def make_restart(driver: Driver, key: str = "again") -> Order:
    return evolve(driver.provider.make_restart_order(driver.current_lease, key), password_ref="again")


async def test_files_are_kept_when_the_time_runs_out(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await keep_container(renter, driver)
    kept = driver.current_lease
    assert kept.state is LeaseState.KEPT
    assert kept.kept_until is not None
    assert timedelta(0) <= kept.kept_until - harness.clock.now() - 7 * DAY < timedelta(minutes=2)
    harness.clock.advance(timedelta(seconds=70))
    assert (await driver.refresh_lease()).kept_until == kept.kept_until, "it does not move with each answer"
    harness.clock.advance(7 * DAY)
    gone = await driver.refresh_lease()
    assert (gone.state, gone.kept_until) == (LeaseState.GONE, None)
    assert harness.machines.disks == set()
    assert (await driver.refresh_lease()).state is LeaseState.GONE


async def test_without_enough_dbc_nothing_is_kept(harness: Gpu1024Harness) -> None:
    renter = await harness.make_unfunded_renter()
    await renter.top_up("19000")
    await renter.bind_email()
    driver = renter.make_driver()
    await keep_container(renter, driver)
    assert driver.current_lease.state is LeaseState.EXPIRED
    assert harness.machines.disks == set()
    again = renter.make_driver()
    await again.rent_machine(await renter.make_order())
    assert (await again.release_lease()).state is LeaseState.RELEASED


async def test_files_go_once_the_wallet_holds_too_little(
    harness: Gpu1024Harness, renter: Gpu1024Renter
) -> None:
    driver = renter.make_driver()
    await keep_container(renter, driver)
    deposit = renter.make_driver()
    await deposit.rent_machine(driver.provider.make_staging_order(await renter.make_order()))
    dear = renter.make_driver()
    await dear.rent_machine(await renter.make_order(term=12 * DAY))
    assert renter.balance_units < 20_000 * UNITS
    with pytest.raises(LeaseError, match="容器已销毁"):
        await driver.provider.reserve_lease(make_restart(driver))
    harness.clock.advance(BALANCE_INTERVAL)
    assert (await driver.refresh_lease()).state is LeaseState.GONE


@pytest.mark.parametrize("is_cpu", [False, True])
async def test_a_container_is_started_again(
    harness: Gpu1024Harness, renter: Gpu1024Renter, is_cpu: bool
) -> None:
    first = renter.make_driver()
    await keep_container(renter, first)
    await renter.top_up()
    data, before = harness.machines.booted[-1].spec.data, renter.balance_units
    order = make_restart(first)
    assert (order.kind, order.term, order.gpus, order.disk) == (OrderKind.NEW, HOUR, 1, 60)
    driver = renter.make_driver()
    await driver.rent_machine(driver.provider.make_staging_order(order) if is_cpu else order)
    assert harness.machines.only_machine.spec.data == data, "its files are there"
    listed = renter.list_orders()[-1]
    assert (listed.kind, listed.starts_stopped) == ("cpu" if is_cpu else "gpu", True)
    assert listed.disk == (60 if is_cpu else 30) * 1024**2
    again = await first.refresh_lease()
    assert (again.state, again.kept_until) == (LeaseState.RELEASED, None)
    assert again.note == "its container was started again"
    harness.clock.advance(timedelta(minutes=20))
    over = await driver.release_lease()
    assert over.state is LeaseState.KEPT, "and it can be started once more"
    charges = await driver.sum_charges()
    if is_cpu:
        assert charges[ChargeKind.DEPOSIT] == charges[ChargeKind.DEPOSIT_REFUND] > 60_000 * UNITS
        assert renter.balance_units == before
    else:
        spent = charges[ChargeKind.USAGE] - charges[ChargeKind.REFUND]
        assert listed.stopped_at is not None
        assert spent == before - renter.balance_units == listed.compute_cost(listed.stopped_at)
    assert await harness.simulator.list_discrepancies() == []
    harness.check_ledgers_agree()


async def test_a_gpu_that_is_taken_is_not_started(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    driver = renter.make_driver()
    await keep_container(renter, driver)
    harness.state.machines[driver.current_lease.offer.key].taken = 1
    with pytest.raises(SoldOut):
        await renter.provider.reserve_lease(make_restart(driver))
    cpu = renter.provider.make_staging_order(make_restart(driver, "by deposit"))
    await renter.make_driver().rent_machine(cpu)


async def test_files_that_went_before_the_payment_arrived(
    harness: Gpu1024Harness, renter: Gpu1024Renter
) -> None:
    first, driver = renter.make_driver(), renter.make_driver()
    await keep_container(renter, first)
    harness.clock.advance(7 * DAY - timedelta(minutes=5))
    before = renter.balance_units
    await driver.reserve_lease(make_restart(first))
    payment = await driver.pay_bill(await driver.wait_for_bill())
    harness.clock.advance(timedelta(minutes=6))
    with pytest.raises(PaidTooLate):
        await driver.confirm_payment(payment)
    await driver.release_lease()
    assert renter.balance_units == before
    assert await harness.simulator.list_discrepancies() == []


async def restart_and_release(renter: Gpu1024Renter, driver: Driver, stopped: Driver) -> None:
    await driver.rent_machine(make_restart(stopped))
    renter.harness.clock.advance(timedelta(minutes=20))
    await driver.release_lease()


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param("lose_response", 1, marks=pytest.mark.nightly),
        pytest.param("lose_request", 1, marks=pytest.mark.nightly),
        ("lose_response", 9),
    ],
)
async def test_any_lost_answer_starts_it_once_and_pays_once(fault: str, step: int) -> None:
    async with gpu1024_harness(machines=1) as harness:
        renter = await harness.make_renter()
        stopped, clean = renter.make_driver(), renter.make_driver()
        await keep_container(renter, stopped)
        await restart_and_release(renter, clean, stopped)
        for number in range(2, clean.faults.calls + 1, step):
            renter = await harness.make_renter()
            stopped = renter.make_driver()
            await keep_container(renter, stopped)
            before = renter.balance_units
            driver = renter.make_driver(**{fault: number})
            await restart_and_release(renter, driver, stopped)
            label = f"{fault} {number}: {clean.faults.sent[number - 1]}"
            assert driver.lost_response_count == 1, label
            rented = [order for order in renter.list_orders() if order.rented]
            assert [order.starts_stopped for order in rented] == [False, True], label
            assert rented[1].stopped_at is not None, label
            assert before - renter.balance_units == rented[1].compute_cost(rented[1].stopped_at), label
            assert await harness.simulator.list_discrepancies() == [], label

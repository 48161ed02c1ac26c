"""Trials: 15 minutes of a machine for a fee below 1 DBC, only for who names them, and once per machine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpurent.api import ChargeKind, Known, LeaseError, LeaseState, Offer, Prepaid, Requirements
from gpurent_plugin_gpu1024 import trials, wire
from plugins.gpu1024.tests.gpu1024_harness import UNITS, Gpu1024Harness, Gpu1024Renter

TRIAL = timedelta(minutes=15)


async def find_trial(renter: Gpu1024Renter, index: int = 0) -> Offer:
    machine = list(renter.harness.state.machines)[index]
    found = await renter.provider.list_offers(Requirements(machine=f"{machine}-trial"))
    assert isinstance(found, Known)
    return next(offer for offer in found.items if offer.key == f"{machine}-trial")


async def test_no_offer_is_a_trial_unless_it_is_named(renter: Gpu1024Renter) -> None:
    found = await renter.provider.list_offers(Requirements())
    assert isinstance(found, Known)
    assert not any(trials.is_trial(offer) for offer in found.items)
    trial = await find_trial(renter)
    assert isinstance(trial.tariff, Prepaid)
    assert trial.tariff.fee == wire.DBC.money(1)
    assert (trial.tariff.minimum, trial.tariff.maximum, trial.tariff.refundable) == (TRIAL, TRIAL, False)
    with pytest.raises(LeaseError, match="no CPU container"):
        renter.provider.make_staging_order(await renter.make_order(offer=trial, term=TRIAL))


async def test_a_trial_costs_its_fee_and_ends(harness: Gpu1024Harness, renter: Gpu1024Renter) -> None:
    before, driver = renter.balance_units, renter.make_driver()
    lease = await driver.rent_machine(await renter.make_order(offer=await find_trial(renter), term=TRIAL))
    assert harness.machines.only_machine.spec.user == "root"
    assert lease.expires_at is not None
    fee = lease.bills[0].amount.amount
    assert 0 < fee < UNITS
    (order,) = renter.list_orders()
    assert (order.is_trial, order.gpus, order.minutes) == (True, 1, 15)
    with pytest.raises(LeaseError, match="试用订单不能续租"):
        await driver.renew_lease(timedelta(hours=1), "more")
    harness.clock.advance(TRIAL)
    assert (await driver.refresh_lease()).state is LeaseState.EXPIRED
    assert before - renter.balance_units == (await driver.sum_charges())[ChargeKind.USAGE] == fee
    assert await harness.simulator.list_discrepancies() == []
    harness.check_ledgers_agree()


async def test_a_trial_that_is_released_early_costs_the_same(
    harness: Gpu1024Harness, renter: Gpu1024Renter
) -> None:
    before, driver = renter.balance_units, renter.make_driver()
    await driver.rent_machine(await renter.make_order(offer=await find_trial(renter), term=TRIAL))
    over = await driver.release_lease()
    assert over.state is LeaseState.RELEASED
    assert before - renter.balance_units == over.bills[0].amount.amount
    assert await harness.simulator.list_discrepancies() == []


async def test_a_machine_is_tried_once_and_later_trials_need_dbc(harness: Gpu1024Harness) -> None:
    renter = await harness.make_unfunded_renter()
    await renter.top_up("10")
    await renter.bind_email()
    for index in range(3):
        driver = renter.make_driver()
        offer = await find_trial(renter, index)
        await driver.rent_machine(await renter.make_order(offer=offer, term=TRIAL))
        await driver.release_lease()
        with pytest.raises(LeaseError, match="只能试用一次"):
            await renter.provider.reserve_lease(await renter.make_order(offer=offer, term=TRIAL))
    fourth = await renter.make_order(offer=await find_trial(renter, 3), term=TRIAL)
    with pytest.raises(LeaseError, match="余额不足5000DBC"):
        await renter.provider.reserve_lease(fourth)
    await renter.top_up("5000")
    await renter.make_driver().rent_machine(fourth)


async def test_a_lost_answer_is_one_trial(harness: Gpu1024Harness) -> None:
    renter = await harness.make_renter()
    clean = renter.make_driver()
    await clean.rent_machine(await renter.make_order(offer=await find_trial(renter), term=TRIAL))
    for number in range(1, clean.faults.calls + 1, 3):
        other = await harness.make_renter()
        harness.clock.advance(TRIAL)
        order = await other.make_order(offer=await find_trial(other, 1), term=TRIAL)
        driver = other.make_driver(lose_response=number)
        lease = await driver.rent_machine(order)
        assert [one.rented for one in other.list_orders()] == [True], number
        await driver.release_lease()
        assert lease.bills[0].amount.amount == (await driver.sum_charges())[ChargeKind.USAGE]
    assert await harness.simulator.list_discrepancies() == []

"""Wallet, provider and client node against the simulated chain: every ledger equal, every way that a lease can end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import (
    USD,
    Bill,
    ChargeKind,
    Endpoint,
    Known,
    LeaseState,
    MoneyError,
    PaymentPurpose,
    Prepaid,
    Requirements,
    SoldOut,
    Spent,
)
from gpurent.testing.fakes import ProcessKilled
from gpurent.testing.lease_driver import refresh_as_core, release_as_core
from gpurent_plugin_dbcchain.chain_client import ChainClient
from gpurent_plugin_dbcchain.extrinsic import PALLETS, RENT_PALLET, TERMINATING_PALLET, Pallet
from plugins.dbcchain.tests.chain_harness import (
    ChainHarness,
    ChainUser,
    Driver,
    chain_harness,
    dbc_units,
    sum_spent,
)

RENT_OF_AN_HOUR = 104_166_500_000_000_000


def check_ledgers_agree(user: ChainUser, before: int, expected: int) -> None:
    """Check that chain, ledger and receipt agree to the last unit."""
    assert before - user.total_units == expected
    assert user.ledger_units == user.total_units
    assert list(user.harness.simulator.list_billed_machines()) == []
    assert user.harness.machines.alive_machines == {}


async def reserve_order(user: ChainUser) -> Driver:
    driver = user.make_driver()
    await driver.reserve_lease(await user.make_order())
    return driver


async def make_bill(user: ChainUser) -> Bill:
    return await (await reserve_order(user)).wait_for_bill()


# offers


async def test_offers_say_price_fee_and_that_nothing_comes_back(harness: ChainHarness) -> None:
    user = await harness.make_funded_user()
    found = await user.provider.list_offers(Requirements())
    assert isinstance(found, Known)
    one = next(o for o in found.items if o.hardware.gpu == "GeForceRTX3090")
    assert isinstance(one.tariff, Prepaid)
    assert one.tariff.refundable is False
    assert one.tariff.fee is not None
    assert one.tariff.fee.amount == dbc_units("10")
    assert "no refund" in one.note
    assert "10 DBC" in one.note
    assert str(one.tariff.price) == "0.208334 USD/h"
    refunding = [o for o in found.items if o.provider_data["registry"] == TERMINATING_PALLET.rpc_prefix]
    assert refunding
    assert all(isinstance(o.tariff, Prepaid) and o.tariff.refundable for o in refunding)
    rate = await user.wallet.get_rate(USD)
    assert str(rate.value) == "0.002"
    assert rate.at == harness.clock.now()
    balance = await user.wallet.get_balance()
    assert (balance.available.amount, balance.held and balance.held.amount) == (dbc_units("5000"), 0)


async def test_taken_and_unreachable_machines_are_not_offered() -> None:
    async with chain_harness(machines=2, taken="1", offline="1") as harness:
        user = await harness.make_funded_user()
        found = await user.provider.list_offers(Requirements())
        assert isinstance(found, Known)
        assert [(o.hardware.gpu, o.available) for o in found.items] == [
            ("GeForceRTX3090", True),
            ("GeForceRTX2080Ti", True),
            ("TeslaV100", False),
        ]
        order = await user.make_order()
        harness.chain.state.hosts[order.offer.key].taken = 1
        harness.seal_block()
        with pytest.raises(SoldOut, match="0 of 1 GPU"):
            await user.provider.reserve_lease(order)


# complete trips


@pytest.mark.parametrize("pallet", [RENT_PALLET, TERMINATING_PALLET], ids=lambda pallet: pallet.rpc_prefix)
async def test_rent_renew_release_with_all_ledgers_equal(harness: ChainHarness, pallet: Pallet) -> None:
    user = await harness.make_funded_user()
    driver, before = user.make_driver(), user.total_units
    await driver.reserve_lease(await user.make_order(pallet))
    bill = await driver.wait_for_bill()
    assert harness.list_orders() == []
    assert user.total_units == before, "a bill is free"
    assert bill.purpose is PaymentPurpose.RENT
    assert ("no refund" in bill.memo) is not pallet.is_refundable
    assert "fee 10 DBC" in bill.memo
    await driver.pay_and_confirm()
    lease = await driver.wait_until_ready()
    machine = harness.machines.only_machine
    assert lease.endpoint == Endpoint("dbc", "127.0.0.1", machine.port)
    password = user.vault.get("password")
    assert password is not None
    assert password.reveal() == machine.spec.password
    (order,) = harness.list_orders()
    assert lease.ref == f"{pallet.rpc_prefix}:{order.id}"
    assert order.status == "renting"
    assert lease.expires_at == harness.chain.get_block_time(order.end)
    renewed = await driver.renew_lease(timedelta(minutes=20), "trip-renew")
    assert harness.list_orders()[0].end == order.start + 600 + 200
    assert renewed.expires_at == harness.chain.get_block_time(order.start + 800)
    harness.advance_clock(minutes=30)
    listed = await user.provider.list_leases()
    assert isinstance(listed, Known)
    assert [listing.ref for listing in listed.items] == [lease.ref]
    assert (await driver.release_lease()).state is LeaseState.RELEASED
    charges = await driver.sum_charges()
    assert (ChargeKind.REFUND in charges) is pallet.is_refundable
    if not pallet.is_refundable:
        assert charges[ChargeKind.USAGE] == RENT_OF_AN_HOUR
    fixed, network = (
        sum(-line.amount.amount for line in harness.simulator.list_ledger_entries() if line.kind == kind)
        for kind in ("fee", "network")
    )
    assert fixed == dbc_units("10")
    assert charges[ChargeKind.FEE] == fixed + network
    check_ledgers_agree(user, before, await sum_spent(driver))


async def test_the_payment_is_what_left_and_never_more_than_the_bill(harness: ChainHarness) -> None:
    """The price changes between bill and order; the chain's amount counts."""
    user = await harness.make_funded_user()
    before = user.total_units
    driver = await reserve_order(user)
    bill = await driver.wait_for_bill()
    await harness.set_price(1999)
    payment = await driver.pay_and_confirm()
    assert payment.amount < bill.amount
    assert payment.amount.amount == before - user.total_units
    assert (await driver.sum_charges())[ChargeKind.USAGE] == 208_333 * 10**15 // 1999


async def test_a_price_that_rose_too_far_is_not_paid(harness: ChainHarness) -> None:
    user = await harness.make_funded_user()
    bill = await make_bill(user)
    await harness.set_price(1900)
    with pytest.raises(MoneyError, match="price rose") as caught:
        await user.wallet.pay_bill(bill)
    assert caught.value.spent is Spent.NO
    assert harness.list_orders() == []


async def test_a_reserve_above_the_bill_is_never_confirmed(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price jumps after the last check and before the block: the fee is lost, the rent is refunded."""
    user = await harness.make_funded_user()
    before = user.total_units
    driver = await reserve_order(user)
    bill = await driver.wait_for_bill()

    def raise_price(body: bytes) -> bool:
        harness.chain.state.average = 1500
        return True

    harness.intercept_submit(monkeypatch, raise_price)
    deadline_text = f"{harness.clock.now():%H}:"
    with pytest.raises(MoneyError, match="more than was billed") as caught:
        await driver.pay_bill(bill)
    assert caught.value.spent is Spent.YES
    assert f"returned by {deadline_text}" in caught.value.message
    with pytest.raises(MoneyError, match="more than was billed"):
        await user.wallet.pay_bill(bill)
    assert (await driver.release_lease()).state is LeaseState.CANCELLED
    await harness.advance(minutes=16)
    assert set(await driver.sum_charges()) == {ChargeKind.FEE}
    check_ledgers_agree(user, before, await sum_spent(driver))


async def test_a_machine_that_never_comes_up_is_not_confirmed() -> None:
    async with chain_harness(stuck="yes") as harness:
        user = await harness.make_funded_user()
        before, started = user.total_units, harness.clock.now()
        driver = await reserve_order(user)
        with pytest.raises(MoneyError, match="did not start in time") as caught:
            await driver.pay_and_confirm()
        assert caught.value.spent is Spent.YES
        assert timedelta(minutes=13) < harness.clock.now() - started < timedelta(minutes=15)
        assert user.total_units < before - dbc_units("10")
        await driver.release_lease()
        await harness.advance(minutes=2)
        assert harness.list_orders() == []
        cost = await sum_spent(driver)
        assert dbc_units("10") < cost < dbc_units("10.001")
        check_ledgers_agree(user, before, cost)


async def test_a_late_confirmation_costs_the_fee_alone(harness: ChainHarness) -> None:
    """The process died after the rent and continues an hour later."""
    somebody = await harness.make_funded_user()
    other = somebody.make_driver()
    await other.rent_machine(await somebody.make_order(TERMINATING_PALLET))
    made = other.faults.sent.index("POST /api/v1/tasks/start") + 1
    user = await harness.make_funded_user()
    before = user.total_units
    order = await user.make_order()
    driver = user.make_driver(lose_request=made, error=ProcessKilled)
    await driver.reserve_lease(order)
    with pytest.raises(ProcessKilled):
        await driver.pay_and_confirm()
    assert [order.status for order in harness.list_orders() if order.pallet == RENT_PALLET] == [
        "waitingVerifying"
    ]
    harness.advance_clock(hours=2)
    driver.start_process()
    with pytest.raises(MoneyError, match="not confirmed") as caught:
        await driver.pay_and_confirm()
    assert caught.value.spent is Spent.YES
    await driver.release_lease()
    assert set(await driver.sum_charges()) == {ChargeKind.FEE}
    check_ledgers_agree(user, before, await sum_spent(driver))


@pytest.mark.parametrize("pallet", PALLETS.values(), ids=PALLETS.keys())
async def test_an_order_of_a_machine_that_was_taken_costs_the_networks_fee_alone(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch, pallet: Pallet
) -> None:
    """Somebody else rents the machine in the same block."""
    user = await harness.make_funded_user()
    before = user.total_units
    driver = user.make_driver()
    await driver.reserve_lease(await user.make_order(pallet))

    def rent_to_another(body: bytes) -> bool:
        host = harness.chain.state.hosts[driver.current_lease.offer.key]
        host.taken = host.gpus
        return True

    harness.intercept_submit(monkeypatch, rent_to_another)
    for _process in range(2):
        with pytest.raises(SoldOut, match="rejected the order") as caught:
            await driver.pay_and_confirm()
        assert caught.value.spent is Spent.YES
    cost = await sum_spent(driver)
    assert 0 < cost < dbc_units("0.001")
    await driver.release_lease()
    check_ledgers_agree(user, before, cost)


async def test_an_order_runs_out_and_the_files_are_kept(harness: ChainHarness) -> None:
    user = await harness.make_funded_user()
    ends = (await user.make_driver().rent_machine(await user.make_order())).expires_at
    listed = await user.provider.list_leases()
    assert isinstance(listed, Known)
    (lease,) = listed.items
    harness.advance_clock(hours=1, minutes=1)
    lease = evolve(lease, expires_at=ends)
    missing = await refresh_as_core(user.provider, lease, harness.clock.now())
    assert missing.state is LeaseState.MISSING
    harness.advance_clock(seconds=30)
    kept = await refresh_as_core(user.provider, missing, harness.clock.now())
    assert kept.state is LeaseState.KEPT
    assert kept.endpoint is None
    assert kept.ended_at == ends
    assert ends is not None
    assert kept.kept_until == ends + timedelta(days=10)
    harness.advance_clock(days=11)
    assert (await refresh_as_core(user.provider, kept, harness.clock.now())).state is LeaseState.GONE


async def test_an_order_that_the_chain_does_not_list_is_missing(harness: ChainHarness) -> None:
    user = await harness.make_funded_user()
    lease = await user.make_driver().rent_machine(await user.make_order(TERMINATING_PALLET))
    harness.chain.state.orders.clear()
    harness.seal_block()
    missing = await refresh_as_core(user.provider, lease, harness.clock.now())
    assert missing.state is LeaseState.MISSING
    harness.advance_clock(minutes=1)
    released = await release_as_core(user.provider, missing, harness.clock.now())
    harness.advance_clock(seconds=30)
    assert (await release_as_core(user.provider, released, harness.clock.now())).state is LeaseState.RELEASED


async def test_looks_after_our_own_termination_do_not_end_the_lease_before_its_refund(
    harness: ChainHarness,
) -> None:
    user = await harness.make_funded_user()
    driver = user.make_driver()
    lease = await driver.rent_machine(await user.make_order(TERMINATING_PALLET))
    asked = await release_as_core(user.provider, lease, harness.clock.now())
    assert asked.state is LeaseState.RELEASING
    # The process died before it saved that state; then the user looks, twice.
    seen = evolve(lease, release_requested_at=asked.release_requested_at)
    for _look in range(3):
        harness.advance_clock(minutes=1)
        seen = await refresh_as_core(user.provider, seen, harness.clock.now())
        assert not seen.is_over
    driver.lease = seen
    await driver.release_lease()
    assert (await driver.sum_charges())[ChargeKind.REFUND] > 0


async def test_an_order_that_is_not_refundable_is_not_listed_after_its_release(harness: ChainHarness) -> None:
    user = await harness.make_funded_user()
    driver = user.make_driver()
    await driver.rent_machine(await user.make_order(RENT_PALLET))
    await driver.release_lease()
    assert await user.provider.list_leases() == Known(()), (
        "its machine is deleted, though the chain has the order"
    )


async def test_blocks_that_come_between_two_requests_move_no_end(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await harness.make_funded_user()
    await user.make_driver().rent_machine(await user.make_order())
    (order,) = harness.list_orders()
    original = ChainClient._call

    async def call(client: ChainClient, method: str, params: tuple[Any, ...]) -> Any:
        answer = await original(client, method, params)
        harness.advance_clock(seconds=6)
        return answer

    monkeypatch.setattr(ChainClient, "_call", call)
    listed = await user.provider.list_leases()
    assert isinstance(listed, Known)
    assert [lease.expires_at for lease in listed.items] == [harness.chain.get_block_time(order.end)]

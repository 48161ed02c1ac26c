"""Wallet, shop and client node against the simulated chain: every book equal, every way out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpurent.api import (
    USD,
    Bill,
    ChargeKind,
    Endpoint,
    Known,
    LeaseError,
    LeaseState,
    MoneyError,
    Prepaid,
    Purpose,
    Requirements,
    SoldOut,
    Spent,
    UsageError,
)
from gpurent.testing.fakes import ProcessKilled
from gpurent_plugin_dbcchain.extrinsic import RENT, TERMINATING, Pallet
from gpurent_plugin_dbcchain.wallet import is_here
from plugins.dbcchain.tests.chain_harness import (
    HOUR,
    REAL_NODE,
    ChainHarness,
    ChainUser,
    Driver,
    chain_harness,
    dbc,
    spent,
)

RENT_OF_AN_HOUR = 104_166_500_000_000_000


def agree(user: ChainUser, before: int, spent: int) -> None:
    """Chain, ledger and receipt say the same to the last unit."""
    assert before - user.total == spent
    assert user.booked == user.total
    assert list(user.harness.simulator.burning()) == []
    assert user.harness.machines.alive == {}


async def reserved(user: ChainUser) -> Driver:
    driver = user.driver()
    await driver.reserve(await user.order())
    return driver


async def billed(user: ChainUser) -> Bill:
    return await (await reserved(user)).bill()


# offers


async def test_offers_say_price_fee_and_that_nothing_comes_back(harness: ChainHarness) -> None:
    user = await harness.funded_user()
    found = await user.shop.offers(Requirements())
    assert isinstance(found, Known)
    one = next(o for o in found.items if o.hardware.gpu == "GeForceRTX3090")
    assert isinstance(one.tariff, Prepaid)
    assert one.tariff.refundable is False
    assert one.tariff.fee is not None
    assert one.tariff.fee.amount == dbc("10")
    assert "no refund" in one.note
    assert "10 DBC" in one.note
    assert str(one.tariff.price) == "0.208334 USD/h"
    refunding = [o for o in found.items if o.shop["registry"] == TERMINATING.rpc]
    assert refunding
    assert all(isinstance(o.tariff, Prepaid) and o.tariff.refundable for o in refunding)
    rate = await user.wallet.rate(USD)
    assert str(rate.value) == "0.002"
    assert rate.at == harness.clock.now()
    balance = await user.wallet.balance()
    assert (balance.available.amount, balance.held and balance.held.amount) == (dbc("5000"), 0)


async def test_taken_and_unreachable_machines_are_not_offered() -> None:
    async with chain_harness(taken="1", offline="1") as harness:
        user = await harness.funded_user()
        found = await user.shop.offers(Requirements())
        assert isinstance(found, Known)
        assert [(o.hardware.gpu, o.free) for o in found.items] == [
            ("GeForceRTX3090", True),
            ("GeForceRTX2080Ti", True),
            ("TeslaV100", False),
        ]
        order = await user.order()
        harness.chain.state.hosts[order.offer.key].taken = 1
        harness.seal()
        with pytest.raises(SoldOut, match="0 of 1 GPUs"):
            await user.shop.reserve(order)


# the whole way


@pytest.mark.parametrize("pallet", [RENT, TERMINATING], ids=lambda pallet: pallet.rpc)
async def test_the_whole_way_with_all_books_equal(harness: ChainHarness, pallet: Pallet) -> None:
    user = await harness.funded_user()
    driver, before = user.driver(), user.total
    await driver.reserve(await user.order(pallet))
    bill = await driver.bill()
    assert harness.orders() == []
    assert user.total == before, "a bill is free"
    assert bill.purpose is Purpose.RENT
    assert ("no refund" in bill.memo) is not pallet.refunds
    assert "fee 10 DBC" in bill.memo
    await driver.settle()
    lease = await driver.ready()
    machine = harness.machines.only
    assert lease.endpoint == Endpoint("dbc", "127.0.0.1", machine.port)
    password = user.vault.get("password")
    assert password is not None
    assert password.reveal() == machine.spec.password
    (order,) = harness.orders()
    assert lease.ref == f"{pallet.rpc}:{order.id}"
    assert order.status == "renting"
    assert lease.expires_at == harness.chain.when(order.end)
    renewed = await driver.extend(timedelta(minutes=20), "trip-renew")
    assert harness.orders()[0].end == order.start + 600 + 200
    assert renewed.expires_at == harness.chain.when(order.start + 800)
    harness.turn(minutes=30)
    listed = await user.shop.leases()
    assert isinstance(listed, Known)
    assert [listing.ref for listing in listed.items] == [lease.ref]
    assert (await driver.release()).state is LeaseState.RELEASED
    charges = await driver.charges()
    assert (ChargeKind.REFUND in charges) is pallet.refunds
    if not pallet.refunds:
        assert charges[ChargeKind.USE] == RENT_OF_AN_HOUR
    fixed, network = (
        sum(-line.amount.amount for line in harness.simulator.ledger() if line.kind == kind)
        for kind in ("fee", "network")
    )
    assert fixed == dbc("10")
    assert charges[ChargeKind.FEE] == fixed + network
    agree(user, before, await spent(driver))


async def test_the_payment_is_what_left_and_never_more_than_the_bill(harness: ChainHarness) -> None:
    """The price moves between bill and order; the chain's sum counts."""
    user = await harness.funded_user()
    before = user.total
    driver = await reserved(user)
    bill = await driver.bill()
    await harness.set_price(1999)
    payment = await driver.settle()
    assert payment.amount < bill.amount
    assert payment.amount.amount == before - user.total
    assert (await driver.charges())[ChargeKind.USE] == 208_333 * 10**15 // 1999


async def test_a_price_that_rose_too_far_is_not_paid(harness: ChainHarness) -> None:
    user = await harness.funded_user()
    bill = await billed(user)
    await harness.set_price(1900)
    with pytest.raises(MoneyError, match="price rose") as caught:
        await user.wallet.pay(bill)
    assert caught.value.spent is Spent.NO
    assert harness.orders() == []


async def test_a_reserve_above_the_bill_is_never_confirmed(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price jumps after the last look, before the block: the fee is lost, the rent comes back."""
    user = await harness.funded_user()
    before = user.total
    driver = await reserved(user)
    bill = await driver.bill()

    def jump(body: bytes) -> bool:
        harness.chain.state.average = 1500
        return True

    harness.intercept(monkeypatch, jump)
    back = f"{harness.clock.now():%H}:"
    with pytest.raises(MoneyError, match="more than was billed") as caught:
        await driver.pay(bill)
    assert caught.value.spent is Spent.YES
    assert f"come back by {back}" in caught.value.message
    with pytest.raises(MoneyError, match="more than was billed"):
        await user.wallet.pay(bill)
    assert (await driver.release()).state is LeaseState.CANCELLED
    await harness.later(minutes=16)
    assert set(await driver.charges()) == {ChargeKind.FEE}
    agree(user, before, await spent(driver))


async def test_a_machine_that_never_comes_up_is_not_confirmed() -> None:
    async with chain_harness(stuck="yes") as harness:
        user = await harness.funded_user()
        before, begun = user.total, harness.clock.now()
        driver = await reserved(user)
        with pytest.raises(MoneyError, match="did not come up in time") as caught:
            await driver.settle()
        assert caught.value.spent is Spent.YES
        assert timedelta(minutes=13) < harness.clock.now() - begun < timedelta(minutes=15)
        assert user.total < before - dbc("10")
        await driver.release()
        await harness.later(minutes=2)
        assert harness.orders() == []
        cost = await spent(driver)
        assert dbc("10") < cost < dbc("10.001")
        agree(user, before, cost)


async def test_a_late_confirmation_costs_the_fee_alone(harness: ChainHarness) -> None:
    """The process died after the rent and came back an hour later."""
    somebody = await harness.funded_user()
    other = somebody.driver()
    await other.rent(await somebody.order(TERMINATING))
    made = other.faults.sent.index("POST /api/v1/tasks/start") + 1
    user = await harness.funded_user()
    before = user.total
    order = await user.order()
    driver = user.driver(lose_request=made, error=ProcessKilled)
    await driver.reserve(order)
    with pytest.raises(ProcessKilled):
        await driver.settle()
    assert [order.status for order in harness.orders() if order.pallet == RENT] == ["waitingVerifying"]
    harness.turn(hours=2)
    driver.begin_process()
    with pytest.raises(MoneyError, match="not confirmed") as caught:
        await driver.settle()
    assert caught.value.spent is Spent.YES
    await driver.release()
    assert set(await driver.charges()) == {ChargeKind.FEE}
    agree(user, before, await spent(driver))


async def test_a_refused_order_costs_the_networks_fee_alone(
    harness: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has the machine in the very block."""
    user = await harness.funded_user()
    before = user.total
    driver = await reserved(user)

    def taken(body: bytes) -> bool:
        harness.chain.state.hosts[driver.held.offer.key].taken = 1
        return True

    harness.intercept(monkeypatch, taken)
    with pytest.raises(MoneyError, match="GPUNotEnough"):
        await driver.settle()
    cost = await spent(driver)
    assert 0 < cost < dbc("0.001")
    await driver.release()
    agree(user, before, cost)


async def test_an_order_runs_out_and_the_files_are_kept(harness: ChainHarness) -> None:
    user = await harness.funded_user()
    ends = (await user.driver().rent(await user.order())).expires_at
    listed = await user.shop.leases()
    assert isinstance(listed, Known)
    (lease,) = listed.items
    harness.turn(hours=1, minutes=1)
    kept = await user.shop.refresh(lease)
    assert kept.state is LeaseState.KEPT
    assert kept.endpoint is None
    assert kept.ended_at == ends
    assert ends is not None
    assert kept.kept_until == ends + timedelta(days=10)
    harness.turn(days=11)
    assert (await user.shop.refresh(kept)).state is LeaseState.GONE


async def test_an_order_that_ends_before_its_time_is_gone_not_kept(harness: ChainHarness) -> None:
    user = await harness.funded_user()
    lease = await user.driver().rent(await user.order(TERMINATING))
    harness.chain.state.orders.clear()
    harness.seal()
    assert (await user.shop.refresh(lease)).state is LeaseState.GONE


async def test_odd_wishes_are_refused_before_anything_is_signed(harness: ChainHarness) -> None:
    user = await harness.funded_user(money="20")
    with pytest.raises(LeaseError, match="60 days"):
        await user.shop.reserve(await user.order(term=timedelta(days=61)))
    with pytest.raises(MoneyError, match="the wallet has 20 DBC"):
        await user.wallet.pay(await billed(user))
    rich = await harness.funded_user(money="1000000")
    driver = rich.driver()
    await driver.rent(await rich.order())
    with pytest.raises(LeaseError, match="60 days from now"):
        await driver.extend(timedelta(days=60), "trip-renew")
    nobody = await harness.funded_user(node="")
    with pytest.raises(UsageError, match="no client node"):
        await nobody.shop.reserve(await nobody.order())


# the switch for real money


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "not switched on"),
        ({"spend": "yes"}, "not switched on"),
        ({"ceiling": "500DBC"}, "not switched on"),
        ({"spend": "no", "ceiling": "500DBC"}, "not switched on"),
        ({"spend": "yes", "ceiling": "115DBC"}, "above the ceiling of 115 DBC"),
    ],
)
async def test_the_real_chain_is_not_paid_without_both_settings(
    harness: ChainHarness, settings: dict[str, str], says: str
) -> None:
    user = await harness.funded_user(url=REAL_NODE, **settings)
    bill = await billed(user)
    with pytest.raises(MoneyError, match=says) as caught:
        await user.wallet.pay(bill)
    assert "Nothing was paid" in caught.value.hint
    assert "[dbc-chain]" in caught.value.hint
    assert caught.value.spent is Spent.NO
    assert harness.chain.pool == []
    assert user.total == dbc("5000")


async def test_the_ceiling_counts_all_orders_together(harness: ChainHarness) -> None:
    user = await harness.funded_user(url=REAL_NODE, spend="yes", ceiling="200 DBC")
    driver = user.driver()
    await driver.rent(await user.order())
    with pytest.raises(MoneyError, match="above the ceiling of 200 DBC"):
        await driver.extend(HOUR, "trip-renew")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:9933", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("https://httpinfo1.dbcwallet.io", False),
        ("https://localhost.example", False),
        ("https://127.0.0.1.example", False),
        ("", False),
    ],
)
def test_what_is_on_this_computer(url: str, here: bool) -> None:
    assert is_here(url) is here

"""Wallet, shop and client node against the sandbox's chain: every book equal, every lost answer, every way out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gpurent.api import (
    USD,
    ChargeKind,
    Endpoint,
    Known,
    LeaseError,
    LeaseState,
    MoneyError,
    Purpose,
    Requirements,
    SoldOut,
    Spent,
    UsageError,
)
from gpurent_plugin_dbcchain.calls import RENT, TERMINATING, Pallet
from gpurent_plugin_dbcchain.sender import TRIES
from gpurent_plugin_dbcchain.wallet import is_here
from plugins.dbc.tests.ground import Killed
from plugins.dbcchain.tests.street import HOUR, MINUTE, Core, Land, User, dbc, street

RENT_OF_AN_HOUR = 104_166_500_000_000_000


async def canonical(core: Core, pallet: Pallet) -> None:
    """Rent an hour, twenty minutes more, give back after half of it."""
    await core.rent(await core.once(lambda: core.user.order(pallet)))
    await core.extend(20 * MINUTE)
    core.user.land.clock.turn(minutes=30)
    await core.release()


def agree(land: Land, user: User, before: int, spent: int) -> None:
    """Chain, ledger and receipt say the same to the last unit."""
    assert before - user.total == spent
    assert land.sums(user) == user.total
    assert list(land.simulator.burning()) == []
    assert land.park.alive == {}


# offers


async def test_offers_say_price_fee_and_that_nothing_comes_back(land: Land) -> None:
    user = await land.user()
    found = await user.shop.offers(Requirements())
    assert isinstance(found, Known)
    one = next(o for o in found.items if o.hardware.gpu == "GeForceRTX3090")
    assert one.tariff.refundable is False  # type: ignore[union-attr]
    assert one.tariff.fee is not None  # type: ignore[union-attr]
    assert one.tariff.fee.amount == dbc("10")  # type: ignore[union-attr]
    assert "no refund" in one.note
    assert "10 DBC" in one.note
    assert str(one.tariff.price) == "0.208334 USD/h"
    refunding = [o for o in found.items if o.shop["registry"] == TERMINATING.rpc]
    assert refunding
    assert all(o.tariff.refundable for o in refunding)  # type: ignore[union-attr]
    rate = await user.wallet.rate(USD)
    assert str(rate.value) == "0.002"
    assert rate.at == land.clock.at
    balance = await user.wallet.balance()
    assert (balance.available.amount, balance.held and balance.held.amount) == (dbc("5000"), 0)


async def test_taken_and_unreachable_machines_are_not_offered() -> None:
    async with street(machines=4, taken="1", offline="1") as land:
        user = await land.user()
        found = await user.shop.offers(Requirements())
        assert isinstance(found, Known)
        assert [(o.hardware.gpu, o.free) for o in found.items] == [
            ("GeForceRTX3090", True),
            ("GeForceRTX2080Ti", True),
            ("TeslaV100", False),
        ]
        order = await user.order()
        land.simulator.chain.state.hosts[order.offer.key].taken = 1
        land.seal()
        with pytest.raises(SoldOut, match="0 of 1 GPUs"):
            await user.shop.reserve(order)


# the whole way


@pytest.mark.parametrize("pallet", [RENT, TERMINATING], ids=lambda pallet: pallet.rpc)
async def test_the_whole_way_with_all_books_equal(land: Land, pallet: Pallet) -> None:
    user = await land.user()
    core, before = Core(user), user.total
    reserved = await user.shop.reserve(await user.order(pallet))
    assert land.orders() == []
    assert user.total == before, "a bill is free"
    bill = reserved.pending and reserved.pending.bill
    assert bill is not None
    assert bill.purpose is Purpose.RENT
    assert ("no refund" in bill.memo) is not pallet.refunds
    assert "fee 10 DBC" in bill.memo
    await core.rent(await user.order(pallet))
    (machine,) = land.park.alive.values()
    assert core.held.endpoint == Endpoint("dbc", "127.0.0.1", machine["port"])
    assert user.vault.kept["password"].reveal() == machine["password"]
    (order,) = land.orders()
    assert core.held.ref == f"{pallet.rpc}:{order.id}"
    assert order.status == "renting"
    assert core.held.expires_at == land.simulator.chain.when(order.end)
    await core.extend(20 * MINUTE)
    assert land.orders()[0].end == order.start + 600 + 200
    assert core.held.expires_at == land.simulator.chain.when(order.start + 800)
    land.clock.turn(minutes=30)
    listed = await user.shop.leases()
    assert isinstance(listed, Known)
    assert [lease.ref for lease in listed.items] == [core.held.ref]
    await core.release()
    assert core.held.state is LeaseState.RELEASED
    sums = await core.sums()
    assert (ChargeKind.REFUND in sums) is pallet.refunds
    if not pallet.refunds:
        assert sums[ChargeKind.USE] == RENT_OF_AN_HOUR
    fixed = sum(-line.amount.amount for line in land.simulator.ledger() if line.kind == "fee")
    network = sum(-line.amount.amount for line in land.simulator.ledger() if line.kind == "network")
    assert fixed == dbc("10")
    assert sums[ChargeKind.FEE] == fixed + network
    agree(land, user, before, await core.spent())


async def test_the_payment_is_what_left_and_never_more_than_the_bill(land: Land) -> None:
    """The price moves between bill and order; the chain's sum counts."""
    user = await land.user()
    core, before = Core(user), user.total
    reserved = await user.shop.reserve(await user.order())
    core.lease = reserved
    await land.price(1999)
    payment = await core.pay()
    assert payment.amount < core.held.bills[0].amount
    assert payment.amount.amount == before - user.total
    assert (await core.sums())[ChargeKind.USE] == 208_333 * 10**15 // 1999


async def test_a_price_that_rose_too_far_is_not_paid(land: Land) -> None:
    user = await land.user()
    reserved = await user.shop.reserve(await user.order())
    await land.price(1900)
    assert reserved.pending is not None
    assert reserved.pending.bill is not None
    with pytest.raises(MoneyError, match="price rose") as caught:
        await user.wallet.pay(reserved.pending.bill)
    assert caught.value.spent is Spent.NO
    assert land.orders() == []


async def test_a_reserve_above_the_bill_is_never_confirmed(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price jumps after the last look, before the block: the fee is lost, the rent comes back."""
    user = await land.user()
    core, before = Core(user), user.total
    core.lease = await user.shop.reserve(await user.order())

    def jump(body: bytes) -> bool:
        land.simulator.chain.state.average = 1500
        return True

    land.meddle(monkeypatch, jump)
    with pytest.raises(MoneyError, match="more than was billed") as caught:
        await core.pay()
    assert caught.value.spent is Spent.YES
    assert "come back by 12:" in caught.value.message
    with pytest.raises(MoneyError, match="more than was billed"):
        await core.user.wallet.pay(core.bill)
    await core.release()
    assert core.held.state is LeaseState.CANCELLED
    land.clock.turn(minutes=16)
    await land.simulator.tick()
    assert set(await core.sums()) == {ChargeKind.FEE}
    agree(land, user, before, await core.spent())


async def test_a_machine_that_never_comes_up_is_not_confirmed() -> None:
    async with street(stuck="yes") as land:
        user = await land.user()
        core, before, begun = Core(user), user.total, land.clock.at
        core.lease = await user.shop.reserve(await user.order())
        with pytest.raises(MoneyError, match="did not come up in time") as caught:
            await core.pay()
        assert caught.value.spent is Spent.YES
        assert timedelta(minutes=13) < land.clock.at - begun < timedelta(minutes=15)
        assert user.total < before - dbc("10")
        await core.release()
        land.clock.turn(minutes=2)
        await land.simulator.tick()
        assert land.orders() == []
        spent = await core.spent()
        assert dbc("10") < spent < dbc("10.001")
        agree(land, user, before, spent)


async def test_a_late_confirmation_costs_the_fee_alone(land: Land) -> None:
    """The process died after the rent and came back an hour later."""
    other = Core(await land.user())
    await other.rent(await other.user.order(TERMINATING))
    made = other.user.line.sent.index("POST /api/v1/tasks/start") + 1
    user = await land.user()
    user.begin(lose_request=made, error=Killed)
    core, before = Core(user), user.total
    core.lease = await user.shop.reserve(await user.order())
    with pytest.raises(Killed):
        await core.pay()
    assert [order.status for order in land.orders() if order.pallet == RENT] == ["waitingVerifying"]
    land.clock.turn(hours=2)
    user.begin()
    with pytest.raises(MoneyError, match="not confirmed") as caught:
        await core.pay()
    assert caught.value.spent is Spent.YES
    await core.release()
    assert set(await core.sums()) == {ChargeKind.FEE}
    agree(land, user, before, await core.spent())


async def test_a_refused_order_costs_the_networks_fee_alone(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has the machine in the very block."""
    user = await land.user()
    core, before = Core(user), user.total
    order = await user.order()
    core.lease = await user.shop.reserve(order)

    def taken(body: bytes) -> bool:
        land.simulator.chain.state.hosts[order.offer.key].taken = 1
        return True

    land.meddle(monkeypatch, taken)
    with pytest.raises(MoneyError, match="GPUNotEnough"):
        await core.pay()
    spent = await core.spent()
    assert 0 < spent < dbc("0.001")
    await core.release()
    agree(land, user, before, spent)


async def test_an_order_runs_out_and_the_files_are_kept(land: Land) -> None:
    user = await land.user()
    core = Core(user)
    await core.rent(await user.order())
    ends = core.held.expires_at
    land.clock.turn(hours=1, minutes=1)
    lease = await user.shop.refresh(core.held)
    assert lease.state is LeaseState.KEPT
    assert lease.endpoint is None
    assert lease.ended_at == ends
    assert ends is not None
    assert lease.kept_until == ends + timedelta(days=10)
    land.clock.turn(days=11)
    assert (await user.shop.refresh(lease)).state is LeaseState.GONE


async def test_an_order_that_ends_before_its_time_is_gone_not_kept(land: Land) -> None:
    user = await land.user()
    core = Core(user)
    await core.rent(await user.order(TERMINATING))
    land.simulator.chain.state.orders.clear()
    land.seal()
    assert (await user.shop.refresh(core.held)).state is LeaseState.GONE


async def test_odd_wishes_are_refused_before_anything_is_signed(land: Land) -> None:
    user = await land.user(money="20")
    with pytest.raises(LeaseError, match="60 days"):
        await user.shop.reserve(await user.order(term=timedelta(days=61)))
    reserved = await user.shop.reserve(await user.order())
    assert reserved.pending is not None
    assert reserved.pending.bill is not None
    with pytest.raises(MoneyError, match="the wallet has 20 DBC"):
        await user.wallet.pay(reserved.pending.bill)
    rich = await land.user(money="1000000")
    core = Core(rich)
    await core.rent(await rich.order())
    with pytest.raises(LeaseError, match="60 days from now"):
        await core.extend(timedelta(days=60))
    nobody = await land.user(node="")
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
    land: Land, settings: dict[str, str], says: str
) -> None:
    user = await land.user(url="https://rpc.example", **settings)
    reserved = await user.shop.reserve(await user.order())
    assert reserved.pending is not None
    assert reserved.pending.bill is not None
    with pytest.raises(MoneyError, match=says) as caught:
        await user.wallet.pay(reserved.pending.bill)
    assert "Nothing was paid" in caught.value.hint
    assert "[dbc-chain]" in caught.value.hint
    assert caught.value.spent is Spent.NO
    assert land.simulator.chain.pool == []
    assert user.total == dbc("5000")


async def test_the_ceiling_counts_all_orders_together(land: Land) -> None:
    user = await land.user(url="https://rpc.example", spend="yes", ceiling="200 DBC")
    core = Core(user)
    await core.rent(await user.order())
    with pytest.raises(MoneyError, match="above the ceiling of 200 DBC"):
        await core.extend(HOUR)


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


# lost answers


WAYS = [(pallet, way) for pallet in (RENT, TERMINATING) for way in ("lose_answer", "lose_request")]
IDS = [f"{pallet.rpc}-{way}" for pallet, way in WAYS]
SHARE = 17


async def any_call_lost(pallet: Pallet, way: str, first: int, step: int) -> None:
    async with street(machines=2, boot="6") as land:
        clean = Core(await land.user())
        clean.user.begin()
        await canonical(clean, pallet)
        calls, expected = clean.user.line.calls, set(await clean.sums())
        assert 60 < calls < 250
        for number in range(first, calls + 1, step):
            land.clock.turn(hours=2)
            await land.simulator.tick()
            core = Core(await land.user())
            before = core.user.total
            core.user.begin(**{way: number})
            await canonical(core, pallet)
            what = f"{way} {number}: {clean.user.line.sent[number - 1]}"
            mine = [line for line in land.simulator.ledger() if line.account == core.user.address]
            assert core.again == 1 or "/api/v1" in what, what
            assert sum(line.kind == "fee" for line in mine) == 1, what
            assert set(await core.sums()) == expected, what
            agree(land, core.user, before, await core.spent())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "pallet", "way"), [(n, *one) for n, one in enumerate(WAYS)], ids=IDS)
async def test_some_answers_may_be_lost_and_nothing_is_paid_twice(
    number: int, pallet: Pallet, way: str
) -> None:
    """Every seventeenth call, from another one on in each run; the nightly run has them all."""
    await any_call_lost(pallet, way, 1 + number * SHARE // len(WAYS), SHARE)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("pallet", "way"), WAYS, ids=IDS)
async def test_any_answer_may_be_lost_and_nothing_is_paid_twice(pallet: Pallet, way: str) -> None:
    await any_call_lost(pallet, way, 1, 1)


async def test_a_process_may_die_at_any_note(land: Land) -> None:
    """The notes are what outlives it: dying before or after each of them never pays twice."""
    for number in range(1, 40, 2):
        for when in ("before", "after"):
            user = await land.user()
            core, before, left = Core(user), user.total, number
            honest = type(user.notes).put

            def put(drawer: Any, name: str, value: Any) -> None:
                nonlocal left
                left -= 1
                if left == 0 and when == "before":  # noqa: B023 - used up in this very round
                    raise Killed
                honest(drawer, name, value)  # noqa: B023
                if left == 0:
                    raise Killed

            core.lease = await user.shop.reserve(await user.order())
            bill = core.bill
            type(user.notes).put = put  # type: ignore[method-assign]
            try:
                await user.wallet.pay(bill)
            except Killed:
                pass
            finally:
                type(user.notes).put = honest  # type: ignore[method-assign]
            done = left > 0
            user.begin()
            payment = await user.wallet.pay(bill)
            again = await user.wallet.pay(bill)
            assert payment == again
            assert payment.amount.amount == before - user.total
            assert payment.amount <= bill.amount
            land.clock.turn(hours=2)
            await land.simulator.tick()
        if done:
            return
    raise AssertionError("more notes than expected")


async def test_bytes_that_never_arrived_are_signed_anew_only_when_their_era_is_over(
    land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await land.user()
    core, before = Core(user), user.total
    core.lease = await user.shop.reserve(await user.order())
    swallowed: list[bytes] = []

    def swallow(body: bytes) -> bool:
        swallowed.append(body)
        return len(swallowed) > 2

    land.meddle(monkeypatch, swallow)
    begun = land.clock.at
    await core.pay()
    assert swallowed[0] != swallowed[1]
    assert land.clock.at - begun > timedelta(seconds=6 * 128)
    sent = sum(line.kind == "fee" for line in land.simulator.ledger())
    assert sent == 1
    assert before - user.total == await core.spent()
    assert TRIES > 2

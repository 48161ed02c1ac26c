"""Money leaves once: whatever is lost or killed, one bill is one transfer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx2
import pytest

from gpurent.api import CNY, Money, MoneyError, Spent, UnavailableError, UsageError
from plugins.dbc.tests.ground import DBC, Drawer, Ground, Killed, bill, somebody


async def test_a_bill_is_paid_to_the_last_unit(land: Ground) -> None:
    asked = bill("1984.38480001")
    payment = await land.wallet().pay(asked)
    assert land.units() == 100000 * 10**8 - 198438480001
    assert land.units(asked.payee) == 198438480001
    assert payment.amount == asked.amount
    assert (await land.get(f"/tx/{payment.proof}")).json()["to"] == asked.payee


async def test_paid_again_it_gives_the_first_payment(land: Ground) -> None:
    asked = bill()
    first = await land.wallet().pay(asked)
    land.clock.turn(hours=3)
    assert await land.wallet().pay(asked) == first
    assert land.outgoing() == [-198438480000]


@pytest.mark.parametrize("error", [UnavailableError, Killed])
@pytest.mark.parametrize("way", ["lose_request", "lose_answer"])
@pytest.mark.parametrize("call", [1, 2, 3])
async def test_lost_anywhere_and_repeated_it_is_one_transfer(
    land: Ground, call: int, way: str, error: type[BaseException]
) -> None:
    asked = bill()
    wallet = land.wallet(**{way: call, "error": error})
    lost: BaseException | None = None
    try:
        first = await wallet.pay(asked)
    except (UnavailableError, Killed) as broken:
        lost, first = broken, None
    # Only two calls are made: the balance, then the transfer.
    assert (lost is None) == (call == 3)
    again = await land.wallet().pay(asked)
    assert first is None or again == first
    assert land.outgoing() == [-198438480000]
    # And once more, where even the question what became of it is lost.
    with pytest.raises((UnavailableError, Killed)) as asking:
        await land.wallet(**{way: 1, "error": error}).pay(asked)
    assert not isinstance(asking.value, UnavailableError) or asking.value.spent is Spent.UNKNOWN
    assert (await land.wallet().pay(asked)).proof == again.proof
    assert land.outgoing() == [-198438480000]


@pytest.mark.parametrize("die", ["before", "after"])
async def test_killed_at_the_note_nothing_has_left_yet(land: Ground, die: str) -> None:
    asked = bill()
    land.notes = Drawer(land.notes.kept, die)
    with pytest.raises(Killed):
        await land.wallet().pay(asked)
    assert land.outgoing() == []
    land.notes = Drawer(land.notes.kept)
    await land.wallet().pay(asked)
    assert land.outgoing() == [-198438480000]


async def test_with_its_notes_lost_it_still_pays_once(land: Ground) -> None:
    asked = bill()
    first = await land.wallet().pay(asked)
    land.notes = Drawer()
    assert (await land.wallet().pay(asked)).proof == first.proof
    assert land.outgoing() == [-198438480000]


async def test_two_at_once_pay_once(land: Ground) -> None:
    asked = bill()
    both = await asyncio.gather(land.wallet().pay(asked), land.wallet().pay(asked))
    assert both[0].proof == both[1].proof
    assert land.outgoing() == [-198438480000]


async def test_one_key_never_pays_a_second_amount_or_payee(land: Ground) -> None:
    payee = somebody()
    await land.wallet().pay(bill("10", payee))
    for other in (bill("11", payee), bill("10", somebody())):
        with pytest.raises(MoneyError, match="signed before"):
            await land.wallet().pay(other)
    land.notes = Drawer()
    with pytest.raises(MoneyError, match="another payment") as refused:
        await land.wallet().pay(bill("11", payee))
    assert refused.value.spent is Spent.UNKNOWN
    assert land.outgoing() == [-10 * 10**8]


async def test_too_little_is_said_before_anything_is_signed(land: Ground) -> None:
    with pytest.raises(MoneyError) as refused:
        await land.wallet().pay(bill("100000.00000001"))
    assert refused.value.spent is Spent.NO
    assert land.notes.kept == {}
    assert land.outgoing() == []


async def test_what_left_meanwhile_is_too_little_and_a_top_up_mends_it(land: Ground) -> None:
    asked = bill("60000")
    with pytest.raises(Killed):
        await land.wallet(lose_request=2, error=Killed).pay(asked)
    await land.wallet().pay(bill("50000", key="other"))
    with pytest.raises(MoneyError) as refused:
        await land.wallet().pay(asked)
    assert refused.value.spent is Spent.NO
    await land.post("/sandbox/faucet", address=land.address, amount="20000")
    await land.wallet().pay(asked)
    assert land.units() == 10000 * 10**8


@pytest.mark.parametrize(
    "payee",
    ["", " ", "AKMqDy51FuMnc4poiGBczQvPh6819hQuLJ", "0x00", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "А" * 34],
)
async def test_a_payee_that_is_no_address_gets_nothing(land: Ground, payee: str) -> None:
    asked = bill()
    from attrs import evolve

    with pytest.raises(MoneyError) as refused:
        await land.wallet().pay(evolve(asked, payee=payee))
    assert refused.value.spent is Spent.NO
    assert land.outgoing() == []


async def test_odd_amounts_get_nothing(land: Ground) -> None:
    for amount in (Money(-1, DBC), Money(100, CNY), Money(500_000 * 10**8 + 1, DBC)):
        from attrs import evolve

        with pytest.raises(MoneyError) as refused:
            await land.wallet().pay(evolve(bill(), amount=amount))
        assert refused.value.spent is Spent.NO
    assert land.outgoing() == []


async def test_a_bill_of_zero_is_paid_with_nothing(land: Ground) -> None:
    payment = await land.wallet().pay(bill("0"))
    assert payment.proof == ""
    assert payment.amount == DBC.zero
    assert land.outgoing() == []


async def test_no_secret_is_noted(land: Ground) -> None:
    await land.wallet().pay(bill())
    assert land.key.reveal() not in str(land.notes.kept)


async def test_without_a_ledger_it_says_that_the_chain_is_gone(land: Ground) -> None:
    from gpurent_plugin_dbc.wallet import Wallet

    with pytest.raises(UsageError, match="gone"):
        await Wallet(land.seat({"most": "500000"})).balance()


async def test_the_ledger_trusts_nobody(land: Ground) -> None:
    asked = bill("10")
    wallet = land.wallet(lose_request=2)
    with pytest.raises(UnavailableError):
        await wallet.pay(asked)
    import json

    record = json.loads(land.notes.kept[f"bill/{asked.key}"])

    async def send(body: object, signature: object) -> httpx2.Response:
        return await land.post("/transfer", body=body, signature=signature)

    grown = record["body"].replace('"1000000000"', '"9000000000"')
    assert grown != record["body"]
    assert (await send(grown, record["signature"])).json() == {"error": "signature"}
    odd: tuple[object, ...] = (
        1,
        None,
        [],
        {},
        "",
        "{}",
        "[]",
        record["body"][:-1],
        record["body"].replace("10", "-1", 1),
    )
    for body in odd:
        assert (await send(body, record["signature"])).status_code == 400
    assert (await send(record["body"], "00")).status_code == 400
    assert land.outgoing() == []
    assert (await send(record["body"], record["signature"])).status_code == 200
    assert (await send(record["body"], record["signature"])).status_code == 200
    assert land.outgoing() == [-10 * 10**8]


@pytest.mark.parametrize("amount", ["0", "-5", "1e9", "0.000000001", "NaN", "", "²"])
async def test_the_purchase_gives_no_odd_amounts(land: Ground, amount: str) -> None:
    before = land.units()
    assert (await land.post("/sandbox/faucet", address=land.address, amount=amount)).status_code == 400
    assert land.units() == before


async def test_only_a_shop_s_address_can_be_paid_from_without_a_key(land: Ground) -> None:
    given = {"from": land.address, "to": somebody(), "amount": "1", "memo": "refund", "key": "a"}
    assert (await land.post("/sandbox/platform/transfer", **given)).json() == {
        "error": "not a shop's address"
    }
    shop = (await land.post("/sandbox/platform/address")).json()["address"]
    await land.wallet().pay(bill("5", shop))
    back = {**given, "from": shop, "to": land.address, "amount": "300000000"}
    for _twice in range(2):
        assert (await land.post("/sandbox/platform/transfer", **back)).status_code == 200
    assert land.units(shop) == 200000000, "one key, one refund"


async def test_blocks_confirm_by_the_clock(land: Ground) -> None:
    land.clock.turn(seconds=7)
    payment = await land.wallet().pay(bill("5"))
    seen = []
    for _step in range(5):
        seen.append((await land.get(f"/tx/{payment.proof}")).json()["confirmations"])
        land.clock.at += timedelta(seconds=8)
    assert seen == [0, 1, 1, 2, 2]

"""Money leaves once: whatever is lost or killed, one bill is one transfer."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Literal

import pytest
from attrs import evolve

from gpurent.api import CNY, HttpResponse, Money, MoneyError, Spent, UnavailableError, UsageError
from gpurent.testing.fakes import FakePluginContext, ProcessKilled
from gpurent_plugin_dbc.wallet import Wallet
from plugins.dbc.tests.ledger_harness import AUTH, BILLING, DBC, LedgerHarness, bill, new_address


async def test_a_bill_is_paid_to_the_last_unit(ledger: LedgerHarness) -> None:
    asked = bill("1984.38480001")
    payment = await ledger.wallet().pay(asked)
    assert ledger.units() == 100000 * 10**8 - 198438480001
    assert ledger.units(asked.payee) == 198438480001
    assert payment.amount == asked.amount
    assert (await ledger.get(f"/tx/{payment.proof}")).json()["to"] == asked.payee


async def test_paid_again_it_gives_the_first_payment(ledger: LedgerHarness) -> None:
    asked = bill()
    first = await ledger.wallet().pay(asked)
    ledger.clock.advance(timedelta(hours=3))
    assert await ledger.wallet().pay(asked) == first
    assert ledger.outgoing() == [-198438480000]


@pytest.mark.parametrize("error", [UnavailableError, ProcessKilled])
@pytest.mark.parametrize("way", ["lose_request", "lose_answer"])
@pytest.mark.parametrize("call", [1, 2, 3])
async def test_lost_anywhere_and_repeated_it_is_one_transfer(
    ledger: LedgerHarness, call: int, way: str, error: type[BaseException]
) -> None:
    asked = bill()
    wallet = ledger.wallet(**{way: call, "error": error})
    lost: BaseException | None = None
    try:
        first = await wallet.pay(asked)
    except (UnavailableError, ProcessKilled) as broken:
        lost, first = broken, None
    # Only two calls are made: the balance, then the transfer.
    assert (lost is None) == (call == 3)
    again = await ledger.wallet().pay(asked)
    assert first is None or again == first
    assert ledger.outgoing() == [-198438480000]
    # And once more, where even the question what became of it is lost.
    with pytest.raises((UnavailableError, ProcessKilled)) as asking:
        await ledger.wallet(**{way: 1, "error": error}).pay(asked)
    assert not isinstance(asking.value, UnavailableError) or asking.value.spent is Spent.UNKNOWN
    assert (await ledger.wallet().pay(asked)).proof == again.proof
    assert ledger.outgoing() == [-198438480000]


@pytest.mark.parametrize("die", ["before", "after"])
async def test_killed_at_the_note_nothing_has_left_yet(
    ledger: LedgerHarness, die: Literal["before", "after"]
) -> None:
    asked = bill()
    ledger.notes.kill_at(1, die)
    with pytest.raises(ProcessKilled):
        await ledger.wallet().pay(asked)
    assert ledger.outgoing() == []
    await ledger.wallet().pay(asked)
    assert ledger.outgoing() == [-198438480000]


async def test_with_its_notes_lost_it_still_pays_once(ledger: LedgerHarness) -> None:
    asked = bill()
    first = await ledger.wallet().pay(asked)
    ledger.user.forget_state("dbc")
    assert (await ledger.wallet().pay(asked)).proof == first.proof
    assert ledger.outgoing() == [-198438480000]


async def test_two_at_once_pay_once(ledger: LedgerHarness) -> None:
    asked = bill()
    both = await asyncio.gather(ledger.wallet().pay(asked), ledger.wallet().pay(asked))
    assert both[0].proof == both[1].proof
    assert ledger.outgoing() == [-198438480000]


async def test_one_key_never_pays_a_second_amount_or_payee(ledger: LedgerHarness) -> None:
    payee = new_address()
    await ledger.wallet().pay(bill("10", payee))
    for other in (bill("11", payee), bill("10", new_address())):
        with pytest.raises(MoneyError, match="signed before"):
            await ledger.wallet().pay(other)
    ledger.user.forget_state("dbc")
    with pytest.raises(MoneyError, match="another payment") as refused:
        await ledger.wallet().pay(bill("11", payee))
    assert refused.value.spent is Spent.UNKNOWN
    assert ledger.outgoing() == [-10 * 10**8]


async def test_too_little_is_said_before_anything_is_signed(ledger: LedgerHarness) -> None:
    with pytest.raises(MoneyError) as refused:
        await ledger.wallet().pay(bill("100000.00000001"))
    assert refused.value.spent is Spent.NO
    assert ledger.notes.records == {}
    assert ledger.outgoing() == []


async def test_what_left_meanwhile_is_too_little_and_a_top_up_mends_it(ledger: LedgerHarness) -> None:
    asked = bill("60000")
    with pytest.raises(ProcessKilled):
        await ledger.wallet(lose_request=2, error=ProcessKilled).pay(asked)
    await ledger.wallet().pay(bill("50000", key="other"))
    with pytest.raises(MoneyError) as refused:
        await ledger.wallet().pay(asked)
    assert refused.value.spent is Spent.NO
    await ledger.post("/sandbox/faucet", address=ledger.address, amount="20000")
    await ledger.wallet().pay(asked)
    assert ledger.units() == 10000 * 10**8


@pytest.mark.parametrize(
    "payee",
    ["", " ", "AKMqDy51FuMnc4poiGBczQvPh6819hQuLJ", "0x00", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "А" * 34],
)
async def test_a_payee_that_is_no_address_gets_nothing(ledger: LedgerHarness, payee: str) -> None:
    asked = bill()
    with pytest.raises(MoneyError) as refused:
        await ledger.wallet().pay(evolve(asked, payee=payee))
    assert refused.value.spent is Spent.NO
    assert ledger.outgoing() == []


async def test_odd_amounts_get_nothing(ledger: LedgerHarness) -> None:
    for amount in (Money(-1, DBC), Money(100, CNY), Money(500_000 * 10**8 + 1, DBC)):
        with pytest.raises(MoneyError) as refused:
            await ledger.wallet().pay(evolve(bill(), amount=amount))
        assert refused.value.spent is Spent.NO
    assert ledger.outgoing() == []


async def test_a_bill_of_zero_is_paid_with_nothing(ledger: LedgerHarness) -> None:
    payment = await ledger.wallet().pay(bill("0"))
    assert payment.proof == ""
    assert payment.amount == DBC.zero
    assert ledger.outgoing() == []


async def test_no_secret_is_noted(ledger: LedgerHarness) -> None:
    await ledger.wallet().pay(bill())
    assert ledger.key.reveal() not in str(ledger.notes.records)


async def test_without_a_ledger_it_says_that_the_chain_is_gone() -> None:
    with pytest.raises(UsageError, match="gone"):
        await Wallet(FakePluginContext(BILLING, auth=AUTH)).balance()


async def test_the_ledger_trusts_nobody(ledger: LedgerHarness) -> None:
    asked = bill("10")
    wallet = ledger.wallet(lose_request=2)
    with pytest.raises(UnavailableError):
        await wallet.pay(asked)
    record = json.loads(ledger.notes.records[f"bill/{asked.key}"])

    async def send(body: object, signature: object) -> HttpResponse:
        return await ledger.post("/transfer", body=body, signature=signature)

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
        assert (await send(body, record["signature"])).status == 400
    assert (await send(record["body"], "00")).status == 400
    assert ledger.outgoing() == []
    assert (await send(record["body"], record["signature"])).status == 200
    assert (await send(record["body"], record["signature"])).status == 200
    assert ledger.outgoing() == [-10 * 10**8]


@pytest.mark.parametrize("amount", ["0", "-5", "1e9", "0.000000001", "NaN", "", "²"])
async def test_the_purchase_gives_no_odd_amounts(ledger: LedgerHarness, amount: str) -> None:
    before = ledger.units()
    assert (await ledger.post("/sandbox/faucet", address=ledger.address, amount=amount)).status == 400
    assert ledger.units() == before


async def test_only_a_shop_s_address_can_be_paid_from_without_a_key(ledger: LedgerHarness) -> None:
    given = {"from": ledger.address, "to": new_address(), "amount": "1", "memo": "refund", "key": "a"}
    assert (await ledger.post("/sandbox/platform/transfer", **given)).json() == {
        "error": "not a shop's address"
    }
    shop = (await ledger.post("/sandbox/platform/address")).json()["address"]
    await ledger.wallet().pay(bill("5", shop))
    back = {**given, "from": shop, "to": ledger.address, "amount": "300000000"}
    for _twice in range(2):
        assert (await ledger.post("/sandbox/platform/transfer", **back)).status == 200
    assert ledger.units(shop) == 200000000, "one key, one refund"


async def test_blocks_confirm_by_the_clock(ledger: LedgerHarness) -> None:
    ledger.clock.advance(timedelta(seconds=7))
    payment = await ledger.wallet().pay(bill("5"))
    seen = []
    for _step in range(5):
        seen.append((await ledger.get(f"/tx/{payment.proof}")).json()["confirmations"])
        ledger.clock.advance(timedelta(seconds=8))
    assert seen == [0, 1, 1, 2, 2]

"""Money is paid once: whatever is lost or killed, one bill is one transfer."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Literal

import pytest
from attrs import evolve

from gpurent.api import CNY, HttpResponse, Money, MoneyError, Spent, UnavailableError, UsageError
from gpurent.testing.fakes import FakePluginContext, ProcessKilled
from gpurent_plugin_dbc.wallet import DbcWallet
from plugins.dbc.tests.ledger_harness import AUTH, BILLING, DBC, LedgerHarness, make_address, make_bill


async def test_a_bill_is_paid_to_the_last_unit(ledger: LedgerHarness) -> None:
    bill = make_bill("1984.38480001")
    payment = await ledger.make_wallet().pay_bill(bill)
    assert ledger.get_balance_units() == 100000 * 10**8 - 198438480001
    assert ledger.get_balance_units(bill.payee) == 198438480001
    assert payment.amount == bill.amount
    assert (await ledger.get(f"/tx/{payment.proof}")).json()["to"] == bill.payee


async def test_paid_again_it_gives_the_first_payment(ledger: LedgerHarness) -> None:
    bill = make_bill()
    first = await ledger.make_wallet().pay_bill(bill)
    ledger.clock.advance(timedelta(hours=3))
    assert await ledger.make_wallet().pay_bill(bill) == first
    assert ledger.list_outgoing() == [-198438480000]


@pytest.mark.parametrize("error", [UnavailableError, ProcessKilled])
@pytest.mark.parametrize("fault", ["lose_request", "lose_response"])
@pytest.mark.parametrize("call", [1, 2, 3])
async def test_lost_anywhere_and_repeated_it_is_one_transfer(
    ledger: LedgerHarness, call: int, fault: str, error: type[BaseException]
) -> None:
    bill = make_bill()
    wallet = ledger.make_wallet(**{fault: call, "error": error})
    lost: BaseException | None = None
    try:
        first = await wallet.pay_bill(bill)
    except (UnavailableError, ProcessKilled) as broken:
        lost, first = broken, None
    # Only two calls are made: the balance, then the transfer.
    assert (lost is None) == (call == 3)
    again = await ledger.make_wallet().pay_bill(bill)
    assert first is None or again == first
    assert ledger.list_outgoing() == [-198438480000]
    # Again, with the query for the transfer's outcome lost as well.
    with pytest.raises((UnavailableError, ProcessKilled)) as asking:
        await ledger.make_wallet(**{fault: 1, "error": error}).pay_bill(bill)
    assert not isinstance(asking.value, UnavailableError) or asking.value.spent is Spent.UNKNOWN
    assert (await ledger.make_wallet().pay_bill(bill)).proof == again.proof
    assert ledger.list_outgoing() == [-198438480000]


@pytest.mark.parametrize("die", ["before", "after"])
async def test_killed_at_the_state_write_nothing_is_sent_yet(
    ledger: LedgerHarness, die: Literal["before", "after"]
) -> None:
    bill = make_bill()
    ledger.state.kill_at(1, die)
    with pytest.raises(ProcessKilled):
        await ledger.make_wallet().pay_bill(bill)
    assert ledger.list_outgoing() == []
    await ledger.make_wallet().pay_bill(bill)
    assert ledger.list_outgoing() == [-198438480000]


async def test_with_its_state_lost_it_still_pays_once(ledger: LedgerHarness) -> None:
    bill = make_bill()
    first = await ledger.make_wallet().pay_bill(bill)
    ledger.user.delete_state("dbc")
    assert (await ledger.make_wallet().pay_bill(bill)).proof == first.proof
    assert ledger.list_outgoing() == [-198438480000]


async def test_two_at_once_pay_once(ledger: LedgerHarness) -> None:
    bill = make_bill()
    both = await asyncio.gather(ledger.make_wallet().pay_bill(bill), ledger.make_wallet().pay_bill(bill))
    assert both[0].proof == both[1].proof
    assert ledger.list_outgoing() == [-198438480000]


async def test_one_key_never_pays_a_second_amount_or_payee(ledger: LedgerHarness) -> None:
    payee = make_address()
    await ledger.make_wallet().pay_bill(make_bill("10", payee))
    for other in (make_bill("11", payee), make_bill("10", make_address())):
        with pytest.raises(MoneyError, match="already signed"):
            await ledger.make_wallet().pay_bill(other)
    ledger.user.delete_state("dbc")
    with pytest.raises(MoneyError, match="a different payment") as refused:
        await ledger.make_wallet().pay_bill(make_bill("11", payee))
    assert refused.value.spent is Spent.UNKNOWN
    assert ledger.list_outgoing() == [-10 * 10**8]


async def test_insufficient_balance_is_reported_before_signing(ledger: LedgerHarness) -> None:
    with pytest.raises(MoneyError) as refused:
        await ledger.make_wallet().pay_bill(make_bill("100000.00000001"))
    assert refused.value.spent is Spent.NO
    assert ledger.state.records == {}
    assert ledger.list_outgoing() == []


async def test_balance_spent_meanwhile_is_refused_until_topped_up(ledger: LedgerHarness) -> None:
    bill = make_bill("60000")
    with pytest.raises(ProcessKilled):
        await ledger.make_wallet(lose_request=2, error=ProcessKilled).pay_bill(bill)
    await ledger.make_wallet().pay_bill(make_bill("50000", key="other"))
    with pytest.raises(MoneyError) as refused:
        await ledger.make_wallet().pay_bill(bill)
    assert refused.value.spent is Spent.NO
    await ledger.post("/sandbox/faucet", address=ledger.address, amount="20000")
    await ledger.make_wallet().pay_bill(bill)
    assert ledger.get_balance_units() == 10000 * 10**8


@pytest.mark.parametrize(
    "payee",
    ["", " ", "AKMqDy51FuMnc4poiGBczQvPh6819hQuLJ", "0x00", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "А" * 34],
)
async def test_a_payee_that_is_no_address_gets_nothing(ledger: LedgerHarness, payee: str) -> None:
    bill = make_bill()
    with pytest.raises(MoneyError) as refused:
        await ledger.make_wallet().pay_bill(evolve(bill, payee=payee))
    assert refused.value.spent is Spent.NO
    assert ledger.list_outgoing() == []


async def test_invalid_amounts_are_not_paid(ledger: LedgerHarness) -> None:
    for amount in (Money(-1, DBC), Money(100, CNY), Money(500_000 * 10**8 + 1, DBC)):
        with pytest.raises(MoneyError) as refused:
            await ledger.make_wallet().pay_bill(evolve(make_bill(), amount=amount))
        assert refused.value.spent is Spent.NO
    assert ledger.list_outgoing() == []


async def test_a_bill_of_zero_is_paid_with_nothing(ledger: LedgerHarness) -> None:
    payment = await ledger.make_wallet().pay_bill(make_bill("0"))
    assert payment.proof == ""
    assert payment.amount == DBC.zero
    assert ledger.list_outgoing() == []


async def test_no_secret_is_stored(ledger: LedgerHarness) -> None:
    await ledger.make_wallet().pay_bill(make_bill())
    assert ledger.key.reveal() not in str(ledger.state.records)


async def test_without_a_ledger_url_the_error_says_the_chain_is_gone() -> None:
    with pytest.raises(UsageError, match="gone"):
        await DbcWallet(FakePluginContext(BILLING, auth=AUTH)).get_balance()


async def test_the_ledger_rejects_forged_transfers(ledger: LedgerHarness) -> None:
    bill = make_bill("10")
    wallet = ledger.make_wallet(lose_request=2)
    with pytest.raises(UnavailableError):
        await wallet.pay_bill(bill)
    record = json.loads(ledger.state.records[f"bill/{bill.key}"])

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
    assert ledger.list_outgoing() == []
    assert (await send(record["body"], record["signature"])).status == 200
    assert (await send(record["body"], record["signature"])).status == 200
    assert ledger.list_outgoing() == [-10 * 10**8]


@pytest.mark.parametrize("amount", ["0", "-5", "1e9", "0.000000001", "NaN", "", "²"])
async def test_the_faucet_refuses_invalid_amounts(ledger: LedgerHarness, amount: str) -> None:
    before = ledger.get_balance_units()
    assert (await ledger.post("/sandbox/faucet", address=ledger.address, amount=amount)).status == 400
    assert ledger.get_balance_units() == before


async def test_only_platform_addresses_can_send_without_a_key(ledger: LedgerHarness) -> None:
    form = {"from": ledger.address, "to": make_address(), "amount": "1", "memo": "refund", "key": "a"}
    assert (await ledger.post("/sandbox/platform/transfer", **form)).json() == {
        "error": "not a shop's address"
    }
    payee = (await ledger.post("/sandbox/platform/address")).json()["address"]
    await ledger.make_wallet().pay_bill(make_bill("5", payee))
    refund = {**form, "from": payee, "to": ledger.address, "amount": "300000000"}
    for _twice in range(2):
        assert (await ledger.post("/sandbox/platform/transfer", **refund)).status == 200
    assert ledger.get_balance_units(payee) == 200000000, "one key, one refund"


async def test_blocks_confirm_by_the_clock(ledger: LedgerHarness) -> None:
    ledger.clock.advance(timedelta(seconds=7))
    payment = await ledger.make_wallet().pay_bill(make_bill("5"))
    seen = []
    for _step in range(5):
        seen.append((await ledger.get(f"/tx/{payment.proof}")).json()["confirmations"])
        ledger.clock.advance(timedelta(seconds=8))
    assert seen == [0, 1, 1, 2, 2]

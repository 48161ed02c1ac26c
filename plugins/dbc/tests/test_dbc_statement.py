"""Balance, exchange rate and receipt, according to the ledger."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from gpurent.api import (
    CNY,
    USD,
    Bill,
    ChargeKind,
    Hardware,
    Known,
    Lease,
    MoneyError,
    Offer,
    PaymentPurpose,
    Prepaid,
    Receipt,
    UnexpectedResponse,
    UnitPrice,
)
from gpurent_plugin_dbc import wire
from plugins.dbc.tests.ledger_harness import DBC, LedgerHarness, make_bill

OFFER = Offer(
    key="m", provider="1024gpu", hardware=Hardware(), tariff=Prepaid(price=UnitPrice(Decimal(1), USD))
)


async def make_receipt(ledger: LedgerHarness, *bills: Bill) -> Receipt:
    lease = Lease(id="l", provider="1024gpu", offer=OFFER, bills=bills)
    found = await ledger.make_wallet().list_charges(lease)
    assert isinstance(found, Known)
    return Receipt(lease="l", provider="1024gpu", charges=found.items, started_at=None, ended_at=None)


async def create_payee(ledger: LedgerHarness) -> str:
    return str((await ledger.post("/sandbox/platform/address")).json()["address"])


async def send_refund(ledger: LedgerHarness, payee: str, units: int, memo: str) -> None:
    form = {"from": payee, "to": ledger.address, "amount": str(units), "memo": memo, "key": f"{memo}{units}"}
    assert (await ledger.post("/sandbox/platform/transfer", **form)).status == 200


async def test_f2_the_rate_floats_and_is_dated(ledger: LedgerHarness) -> None:
    rate = await ledger.make_wallet().get_rate(USD)
    assert (rate.value, rate.at) == (Decimal("0.0026"), ledger.clock.now())
    await ledger.post("/sandbox/price", price="0.0031")
    assert (await ledger.make_wallet().get_rate(USD)).value == Decimal("0.0031")
    with pytest.raises(MoneyError):
        await ledger.make_wallet().get_rate(CNY)


@pytest.mark.parametrize("price", ["0", "-0.0026"])
async def test_a_rate_that_cannot_be_is_refused_where_it_is_used(ledger: LedgerHarness, price: str) -> None:
    await ledger.post("/sandbox/price", price=price)
    rate = await ledger.make_wallet().get_rate(USD)
    with pytest.raises(MoneyError):
        rate.check_age(ledger.clock.now(), timedelta(hours=6))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "0.00_26", "0,0026", "0.0026 USD", "", True, None])
def test_a_rate_that_is_no_number_is_refused(price: object) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_price({"price": price, "at": "2026-03-01T00:00:00+00:00"}, "https://ledger.example")


@pytest.mark.parametrize("balance", ["-5", "1,23", "5.5", "1_000", "owes 5", 5])
def test_a_balance_that_is_no_amount_is_refused(balance: object) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_balance({"balance": balance}, "https://ledger.example")


async def test_a_stale_rate_is_refused_where_it_is_used(ledger: LedgerHarness) -> None:
    old = ledger.clock.now() - timedelta(hours=7)
    await ledger.post("/sandbox/price", price="0.0026", at=old.isoformat())
    with pytest.raises(MoneyError, match=f"{old:%H:%M}"):
        (await ledger.make_wallet().get_rate(USD)).check_age(ledger.clock.now(), timedelta(hours=6))


async def test_deposit_rent_and_what_comes_back(ledger: LedgerHarness) -> None:
    cpu, gpu = await create_payee(ledger), await create_payee(ledger)
    deposit = make_bill("60000.4711", cpu, "stage", purpose=PaymentPurpose.DEPOSIT)
    rent = make_bill("1984.3848", gpu, "main")
    more = make_bill("500.1234", gpu, "more", purpose=PaymentPurpose.RENEWAL)
    for each in (deposit, rent, more, make_bill("7", key="another lease")):
        await ledger.make_wallet().pay_bill(each)
    await send_refund(ledger, cpu, deposit.amount.amount, "deposit-refund")
    await send_refund(ledger, gpu, 12345678901, "refund")
    receipt = await make_receipt(ledger, deposit, rent, more)
    assert [charge.kind for charge in receipt.charges] == [
        ChargeKind.DEPOSIT,
        ChargeKind.USAGE,
        ChargeKind.RENEWAL,
        ChargeKind.DEPOSIT_REFUND,
        ChargeKind.REFUND,
    ]
    (total,) = receipt.totals()
    assert total.held == DBC.zero
    assert total.spent.amount == rent.amount.amount + more.amount.amount - 12345678901
    assert ledger.get_balance_units() == 100000 * 10**8 - total.spent.amount - 7 * 10**8
    assert {charge.rate.value for charge in receipt.charges if charge.rate} == {Decimal("0.0026")}
    # With the saved records lost, transfers are matched by payee and exact amount.
    ledger.user.delete_state("dbc")
    assert (await make_receipt(ledger, deposit, rent, more)).charges == receipt.charges


async def test_a_chain_without_memos_knows_a_deposit_by_its_amount(ledger: LedgerHarness) -> None:
    payee = await create_payee(ledger)
    deposit = make_bill("60000.4711", payee, "stage", purpose=PaymentPurpose.DEPOSIT)
    await ledger.make_wallet().pay_bill(deposit)
    await send_refund(ledger, payee, deposit.amount.amount, "")
    receipt = await make_receipt(ledger, deposit)
    assert [charge.kind for charge in receipt.charges] == [ChargeKind.DEPOSIT, ChargeKind.DEPOSIT_REFUND]


async def test_the_statement_lists_what_belongs_to_no_lease_too(ledger: LedgerHarness) -> None:
    payee = await create_payee(ledger)
    paid = await ledger.make_wallet().pay_bill(make_bill("60000.4711", payee))
    rented = await create_payee(ledger)
    await ledger.make_wallet().pay_bill(make_bill("1984.3848", rented, "main"))
    await ledger.make_wallet().pay_bill(make_bill("7", key="nobody"))
    await send_refund(ledger, rented, 12345678901, "refund")
    await send_refund(ledger, payee, 5 * 10**12, "deposit-refund")
    found = await ledger.make_wallet().get_statement()
    assert isinstance(found, Known)
    assert [charge.kind for charge in found.items] == [
        ChargeKind.TOP_UP,
        ChargeKind.DEPOSIT,
        ChargeKind.USAGE,
        ChargeKind.TRANSFER,
        ChargeKind.REFUND,
        ChargeKind.DEPOSIT_REFUND,
    ]
    assert found.items[1].ref == paid.proof
    out = sum(charge.money.amount for charge in found.items[1:4])
    assert sum(charge.money.amount for charge in found.items) - 2 * out == ledger.get_balance_units()
    assert all(charge.rate is not None for charge in found.items)


async def test_ledger_and_balance_agree(ledger: LedgerHarness) -> None:
    await ledger.make_wallet().pay_bill(make_bill("12.5"))
    own_items = [
        line.amount.amount
        for line in ledger.simulator.list_ledger_entries()
        if line.account == ledger.address
    ]
    assert sum(own_items) == (await ledger.make_wallet().get_balance()).available.amount == 9998750000000


async def test_f2_top_up_has_address_page_and_advice(ledger: LedgerHarness) -> None:
    top_up = await ledger.make_wallet().create_top_up(DBC.money("80000"))
    assert top_up.url == f"https://www.dbctrade.io/trade/buy_1?address_user={ledger.address}"
    assert top_up.qr == ledger.address
    assert "80,000 DBC" in top_up.advice
    assert "60,000 DBC" in top_up.advice
    assert any(
        "offer 5 DBC for sale" in step for step in (await ledger.make_wallet().withdraw(DBC.money(5))).steps
    )


@pytest.mark.parametrize("value", [1, -1, None, "", "-1", "1.5", "²", "1" * 25, [], True])
def test_an_unexpected_amount_is_an_unexpected_response(value: object) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_balance({"balance": value}, "http://ledger/balance")


@pytest.mark.parametrize(
    "raw", [None, [], {}, {"price": "1"}, {"price": "1", "at": "2020-01-01"}, {"price": [], "at": 1}]
)
def test_an_unexpected_price_is_an_unexpected_response(raw: object) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_price(raw, "http://ledger/price")

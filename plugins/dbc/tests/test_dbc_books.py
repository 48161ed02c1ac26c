"""Balance, rate and the receipt's lines, by the ledger's own books."""

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
    Prepaid,
    Purpose,
    Receipt,
    UnexpectedResponse,
    UnitPrice,
)
from gpurent_plugin_dbc import wire
from plugins.dbc.tests.ledger_harness import DBC, LedgerHarness, bill

OFFER = Offer(
    key="m", provider="1024gpu", hardware=Hardware(), tariff=Prepaid(price=UnitPrice(Decimal(1), USD))
)


async def charged(ledger: LedgerHarness, *bills: Bill) -> Receipt:
    lease = Lease(id="l", provider="1024gpu", offer=OFFER, bills=bills)
    found = await ledger.wallet().charges(lease)
    assert isinstance(found, Known)
    return Receipt(lease="l", provider="1024gpu", charges=found.items, started_at=None, ended_at=None)


async def shop_of(ledger: LedgerHarness) -> str:
    return str((await ledger.post("/sandbox/platform/address")).json()["address"])


async def back(ledger: LedgerHarness, shop: str, units: int, memo: str) -> None:
    given = {"from": shop, "to": ledger.address, "amount": str(units), "memo": memo, "key": f"{memo}{units}"}
    assert (await ledger.post("/sandbox/platform/transfer", **given)).status == 200


async def test_f2_the_rate_floats_and_is_dated(ledger: LedgerHarness) -> None:
    rate = await ledger.wallet().rate(USD)
    assert (rate.value, rate.at) == (Decimal("0.0026"), ledger.clock.now())
    await ledger.post("/sandbox/price", price="0.0031")
    assert (await ledger.wallet().rate(USD)).value == Decimal("0.0031")
    with pytest.raises(MoneyError):
        await ledger.wallet().rate(CNY)


@pytest.mark.parametrize("price", ["0", "-0.0026", "NaN", "Infinity"])
async def test_a_rate_that_cannot_be_is_refused_where_it_is_used(ledger: LedgerHarness, price: str) -> None:
    await ledger.post("/sandbox/price", price=price)
    rate = await ledger.wallet().rate(USD)
    with pytest.raises(MoneyError):
        rate.check(ledger.clock.now(), timedelta(hours=6))


async def test_a_stale_rate_is_refused_where_it_is_used(ledger: LedgerHarness) -> None:
    old = ledger.clock.now() - timedelta(hours=7)
    await ledger.post("/sandbox/price", price="0.0026", at=old.isoformat())
    with pytest.raises(MoneyError, match=f"{old:%H:%M}"):
        (await ledger.wallet().rate(USD)).check(ledger.clock.now(), timedelta(hours=6))


async def test_deposit_rent_and_what_comes_back(ledger: LedgerHarness) -> None:
    cpu, gpu = await shop_of(ledger), await shop_of(ledger)
    deposit = bill("60000.4711", cpu, "stage", purpose=Purpose.DEPOSIT)
    rent = bill("1984.3848", gpu, "main")
    more = bill("500.1234", gpu, "more", purpose=Purpose.RENEWAL)
    for each in (deposit, rent, more, bill("7", key="another lease")):
        await ledger.wallet().pay(each)
    await back(ledger, cpu, deposit.amount.amount, "deposit-back")
    await back(ledger, gpu, 12345678901, "refund")
    receipt = await charged(ledger, deposit, rent, more)
    assert [charge.kind for charge in receipt.charges] == [
        ChargeKind.DEPOSIT,
        ChargeKind.USE,
        ChargeKind.RENEWAL,
        ChargeKind.DEPOSIT_BACK,
        ChargeKind.REFUND,
    ]
    (total,) = receipt.totals()
    assert total.held == DBC.zero
    assert total.spent.amount == rent.amount.amount + more.amount.amount - 12345678901
    assert ledger.units() == 100000 * 10**8 - total.spent.amount - 7 * 10**8
    assert {charge.rate.value for charge in receipt.charges if charge.rate} == {Decimal("0.0026")}
    # The notes lost, the same books: payee and exact amount tell.
    ledger.user.forget_state("dbc")
    assert (await charged(ledger, deposit, rent, more)).charges == receipt.charges


async def test_a_chain_without_memos_knows_a_deposit_by_its_amount(ledger: LedgerHarness) -> None:
    shop = await shop_of(ledger)
    deposit = bill("60000.4711", shop, "stage", purpose=Purpose.DEPOSIT)
    await ledger.wallet().pay(deposit)
    await back(ledger, shop, deposit.amount.amount, "")
    receipt = await charged(ledger, deposit)
    assert [charge.kind for charge in receipt.charges] == [ChargeKind.DEPOSIT, ChargeKind.DEPOSIT_BACK]


async def test_the_statement_lists_what_belongs_to_no_lease_too(ledger: LedgerHarness) -> None:
    shop = await shop_of(ledger)
    paid = await ledger.wallet().pay(bill("60000.4711", shop))
    await back(ledger, shop, 12345678901, "refund")
    await back(ledger, shop, 5 * 10**12, "deposit-back")
    found = await ledger.wallet().statement()
    assert isinstance(found, Known)
    assert [charge.kind for charge in found.items] == [
        ChargeKind.TOP_UP,
        ChargeKind.TRANSFER,
        ChargeKind.REFUND,
        ChargeKind.DEPOSIT_BACK,
    ]
    assert found.items[1].ref == paid.proof
    out = sum(charge.money.amount for charge in found.items if charge.kind is ChargeKind.TRANSFER)
    assert sum(charge.money.amount for charge in found.items) - 2 * out == ledger.units()
    assert all(charge.rate is not None for charge in found.items)


async def test_ledger_and_balance_agree(ledger: LedgerHarness) -> None:
    await ledger.wallet().pay(bill("12.5"))
    mine = [line.amount.amount for line in ledger.simulator.ledger() if line.account == ledger.address]
    assert sum(mine) == (await ledger.wallet().balance()).available.amount == 9998750000000


async def test_f2_top_up_shows_address_page_and_advice(ledger: LedgerHarness) -> None:
    way = await ledger.wallet().top_up(DBC.money("80000"))
    assert way.url == f"https://www.dbctrade.io/trade/buy_1?address_user={ledger.address}"
    assert way.qr == ledger.address
    assert "80,000 DBC" in way.advice
    assert "60,000 DBC" in way.advice
    assert any(
        "offer 5 DBC for sale" in step for step in (await ledger.wallet().withdraw(DBC.money(5))).steps
    )


@pytest.mark.parametrize("value", [1, -1, None, "", "-1", "1.5", "²", "1" * 25, [], True])
def test_an_amount_in_another_form_is_a_changed_ledger(value: object) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.balance({"balance": value}, "http://ledger/balance")


@pytest.mark.parametrize(
    "raw", [None, [], {}, {"price": "1"}, {"price": "1", "at": "2020-01-01"}, {"price": [], "at": 1}]
)
def test_a_price_in_another_form_is_a_changed_ledger(raw: object) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.price(raw, "http://ledger/price")

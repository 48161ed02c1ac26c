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
from plugins.dbc.tests.ground import DBC, Drawer, Ground, bill

OFFER = Offer(
    key="m", provider="1024gpu", hardware=Hardware(), tariff=Prepaid(price=UnitPrice(Decimal(1), USD))
)


async def charged(land: Ground, *bills: Bill) -> Receipt:
    lease = Lease(id="l", provider="1024gpu", offer=OFFER, bills=bills)
    found = await land.wallet().charges(lease)
    assert isinstance(found, Known)
    return Receipt(lease="l", provider="1024gpu", charges=found.items, started_at=None, ended_at=None)


async def shop_of(land: Ground) -> str:
    return str((await land.post("/sandbox/platform/address")).json()["address"])


async def back(land: Ground, shop: str, units: int, memo: str) -> None:
    given = {"from": shop, "to": land.address, "amount": str(units), "memo": memo, "key": f"{memo}{units}"}
    assert (await land.post("/sandbox/platform/transfer", **given)).status_code == 200


async def test_f2_the_rate_floats_and_is_dated(land: Ground) -> None:
    rate = await land.wallet().rate(USD)
    assert (rate.value, rate.at) == (Decimal("0.0026"), land.clock.at)
    await land.post("/sandbox/price", price="0.0031")
    assert (await land.wallet().rate(USD)).value == Decimal("0.0031")
    with pytest.raises(MoneyError):
        await land.wallet().rate(CNY)


@pytest.mark.parametrize("price", ["0", "-0.0026", "NaN", "Infinity"])
async def test_a_rate_that_cannot_be_is_refused_where_it_is_used(land: Ground, price: str) -> None:
    await land.post("/sandbox/price", price=price)
    rate = await land.wallet().rate(USD)
    with pytest.raises(MoneyError):
        rate.check(land.clock.at, timedelta(hours=6))


async def test_a_stale_rate_is_refused_where_it_is_used(land: Ground) -> None:
    old = land.clock.at - timedelta(hours=7)
    await land.post("/sandbox/price", price="0.0026", at=old.isoformat())
    with pytest.raises(MoneyError, match="05:00"):
        (await land.wallet().rate(USD)).check(land.clock.at, timedelta(hours=6))


async def test_deposit_rent_and_what_comes_back(land: Ground) -> None:
    cpu, gpu = await shop_of(land), await shop_of(land)
    deposit = bill("60000.4711", cpu, "stage", purpose=Purpose.DEPOSIT)
    rent = bill("1984.3848", gpu, "main")
    more = bill("500.1234", gpu, "more", purpose=Purpose.RENEWAL)
    for each in (deposit, rent, more, bill("7", key="another lease")):
        await land.wallet().pay(each)
    await back(land, cpu, deposit.amount.amount, "deposit-back")
    await back(land, gpu, 12345678901, "refund")
    receipt = await charged(land, deposit, rent, more)
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
    assert land.units() == 100000 * 10**8 - total.spent.amount - 7 * 10**8
    assert {charge.rate.value for charge in receipt.charges if charge.rate} == {Decimal("0.0026")}
    # The notes lost, the same books: payee and exact amount tell.
    land.notes = Drawer()
    assert (await charged(land, deposit, rent, more)).charges == receipt.charges


async def test_a_chain_without_memos_knows_a_deposit_by_its_amount(land: Ground) -> None:
    shop = await shop_of(land)
    deposit = bill("60000.4711", shop, "stage", purpose=Purpose.DEPOSIT)
    await land.wallet().pay(deposit)
    await back(land, shop, deposit.amount.amount, "")
    receipt = await charged(land, deposit)
    assert [charge.kind for charge in receipt.charges] == [ChargeKind.DEPOSIT, ChargeKind.DEPOSIT_BACK]


async def test_the_statement_lists_what_belongs_to_no_lease_too(land: Ground) -> None:
    shop = await shop_of(land)
    paid = await land.wallet().pay(bill("60000.4711", shop))
    await back(land, shop, 12345678901, "refund")
    await back(land, shop, 5 * 10**12, "deposit-back")
    found = await land.wallet().statement()
    assert isinstance(found, Known)
    assert [charge.kind for charge in found.items] == [
        ChargeKind.TOP_UP,
        ChargeKind.TRANSFER,
        ChargeKind.REFUND,
        ChargeKind.DEPOSIT_BACK,
    ]
    assert found.items[1].ref == paid.proof
    out = sum(charge.money.amount for charge in found.items if charge.kind is ChargeKind.TRANSFER)
    assert sum(charge.money.amount for charge in found.items) - 2 * out == land.units()
    assert all(charge.rate is not None for charge in found.items)


async def test_ledger_and_balance_agree(land: Ground) -> None:
    await land.wallet().pay(bill("12.5"))
    mine = [line.amount.amount for line in land.simulator.ledger() if line.account == land.address]
    assert sum(mine) == (await land.wallet().balance()).available.amount == 9998750000000


async def test_f2_top_up_shows_address_page_and_advice(land: Ground) -> None:
    way = await land.wallet().top_up(DBC.money("80000"))
    assert way.url == f"https://www.dbctrade.io/trade/buy_1?address_user={land.address}"
    assert way.qr == land.address
    assert "80,000 DBC" in way.advice
    assert "60,000 DBC" in way.advice
    assert any("offer 5 DBC for sale" in step for step in (await land.wallet().withdraw(DBC.money(5))).steps)


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

"""Amounts and prices: as people write them, with the decimals they get, and as a range is shown."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from gpurent.domain.money import CNY, USD, Currency, Money, UnitPrice
from gpurent.domain.money_text import (
    format_price_range,
    make_money,
    parse_amount,
    parse_price,
    with_precision,
)

DBC = Currency("DBC", 8)
CHAIN_DBC = Currency("DBC", 15)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("200000DBC", (Decimal(200000), "DBC")),
        ("100cny", (Decimal(100), "CNY")),
        ("¥ 100", (Decimal(100), "CNY")),
        ("100 元", (Decimal(100), "CNY")),
        ("$0.5", (Decimal("0.5"), "USD")),
        (" 100 ", (Decimal(100), "")),
    ],
)
def test_amounts_as_people_write_them(text: str, amount: tuple[Decimal, str]) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize("text", ["", "CNY", "¥100CNY", "¥100元", "100 CNY each", "1e3"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid amount of money"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("amount", "money"),
    [
        ((Decimal("3.5"), "CNY"), Money(350, CNY)),
        ((Decimal(3), "USD"), Money(300, USD)),
        ((Decimal("0.123"), "DBC"), Money(123, Currency("DBC", 3))),
        ((Decimal(200000), "DBC"), Money(200000, Currency("DBC", 0))),
        ((Decimal("2e5"), "DBC"), Money(200000, Currency("DBC", 0))),
    ],
)
def test_an_unknown_currency_has_the_decimals_that_were_typed(
    amount: tuple[Decimal, str], money: Money
) -> None:
    assert make_money(amount) == money


def test_an_amount_gets_at_least_the_decimals_of_its_wallet() -> None:
    typed = Money(12, Currency("DBC", 1))
    assert with_precision(typed) == Money(120_000_000, DBC)
    assert with_precision(typed, 15) == Money(1_200_000_000_000_000, CHAIN_DBC)
    assert with_precision(Money(5, CHAIN_DBC)) == Money(5, CHAIN_DBC), "none is lost"
    for money in (Money(5, DBC), CNY.money("1.50"), USD.money(7)):
        assert with_precision(money) is money


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("¥3.5/h", UnitPrice(Decimal("3.5"), CNY)),
        ("￥3.5/小时", UnitPrice(Decimal("3.5"), CNY)),
        ("3.5元/hr", UnitPrice(Decimal("3.5"), CNY)),
        ("$2 per Day", UnitPrice(Decimal(2), USD, timedelta(days=1))),
        ("0.06cny/MINUTE", UnitPrice(Decimal("0.06"), CNY, timedelta(minutes=1))),
        ("82.5dbc/h", UnitPrice(Decimal("82.5"), DBC)),
        (" 0 ", UnitPrice(Decimal(0), CNY)),
        ("0 USD/h", UnitPrice(Decimal(0), USD)),
    ],
)
def test_prices_as_people_write_them(text: str, price: UnitPrice) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize("text", ["", "00", "3.5/h", "3.5 CNY", "¥3.5CNY/h", "-1CNY/h", "3CNY/week", "CNY/h"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid price"):
        parse_price(text)


def test_a_range_of_prices() -> None:
    assert format_price_range(CNY.money("3.60"), CNY.money("3.60")) == "3.60 CNY"
    assert format_price_range(CNY.money("3.60"), CNY.money("1234.78")) == "3.60 - 1,234.78 CNY"


def test_a_range_is_widened_to_the_decimals_that_people_use() -> None:
    low, high = CHAIN_DBC.money("1.123456789"), CHAIN_DBC.money("2.123456781")
    assert format_price_range(low, high) == "1.12345678 - 2.12345679 DBC"
    assert (
        format_price_range(DBC.money("0.00000001"), DBC.money("0.00000003")) == "0.00000001 - 0.00000003 DBC"
    )
    nine = Currency("TOK", 9)
    assert format_price_range(Money(11, nine), Money(19, nine)) == "0.00000001 - 0.00000002 TOK"
    assert format_price_range(Money(15, CHAIN_DBC), Money(16, CHAIN_DBC)) == "0 - 0.00000001 DBC"

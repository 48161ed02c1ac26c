"""Declared terms: prices as people write them, what usage costs, when it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.money import CNY, USD, Currency, UnitPrice
from gpurent.domain.money_text import parse_price
from gpurent.domain.offer import DeclaredTerms, Metered

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("3.5CNY/h", UnitPrice(Decimal("3.5"), CNY)),
        (" 3.5 cny / hour ", UnitPrice(Decimal("3.5"), CNY)),
        ("¥3.5/小时", UnitPrice(Decimal("3.5"), CNY)),
        ("3.5元每时", UnitPrice(Decimal("3.5"), CNY)),
        ("$0.2/h", UnitPrice(Decimal("0.2"), USD)),
        ("0.06CNY/min", UnitPrice(Decimal("0.06"), CNY, MINUTE)),
        ("84元/天", UnitPrice(Decimal(84), CNY, timedelta(days=1))),
        ("82.5DBC/h", UnitPrice(Decimal("82.5"), Currency("DBC", 8))),
        ("0", UnitPrice(Decimal(0), CNY)),
    ],
)
def test_prices_of_the_field(text: str, price: UnitPrice) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize(
    "text",
    ["", "3.5", "3.5CNY", "CNY/h", "-1CNY/h", "3,5CNY/h", "¥3.5CNY/h", "1e3CNY/h", "３CNY/h", "nanCNY/h", "3CNY/y"],
)  # fmt: skip
def test_invalid_prices_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid price"):
        parse_price(text)


@given(st.text(max_size=30))
def test_any_text_is_a_price_or_a_value_error(text: str) -> None:
    try:
        price = parse_price(text)
    except ValueError:
        return
    assert price.value >= 0


def make_terms(**more: object) -> DeclaredTerms:
    return DeclaredTerms(tariff=Metered(price=parse_price("3.5CNY/h")), at=NOW, **more)  # type: ignore[arg-type]


def test_begun_minutes_cost_rounded_up_once() -> None:
    assert make_terms().cost(timedelta()).amount == 0
    assert make_terms().cost(timedelta(seconds=1)).amount == 6
    assert make_terms().cost(MINUTE).amount == 6
    assert make_terms().cost(MINUTE * 2).amount == 12
    assert make_terms().cost(HOUR).amount == 350
    assert make_terms().cost(-HOUR).amount == 0


def test_the_earlier_of_balance_and_end_ends_it() -> None:
    assert make_terms().end_time(NOW) is None
    assert make_terms(balance=CNY.money("7")).end_time(NOW) == NOW + HOUR * 2
    assert make_terms(balance=CNY.money("7"), until=NOW + HOUR).end_time(NOW) == NOW + HOUR
    assert make_terms(balance=CNY.money("7"), until=NOW + HOUR * 9).end_time(NOW) == NOW + HOUR * 2
    free = DeclaredTerms(tariff=Metered(price=parse_price("0")), at=NOW, balance=CNY.money(1))
    assert free.end_time(NOW) is None


def test_an_empty_balance_ends_it_at_once_and_the_smallest_price_at_some_time() -> None:
    assert make_terms(balance=CNY.money("-5")).end_time(NOW) == NOW
    assert make_terms(balance=CNY.zero).end_time(NOW) == NOW
    tiny = DeclaredTerms(tariff=Metered(price=parse_price("0.00001CNY/h")), at=NOW, balance=CNY.money("0.01"))
    assert tiny.end_time(NOW) == NOW + HOUR * 1000

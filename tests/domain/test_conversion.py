"""Conversions over several rates: exact, rounded once, and the shortest way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.money import CNY, USD, Conversion, Currency, Rate, shortest
from gpurent.domain.money_text import fine, money_of
from gpurent.errors import MoneyError

DBC = Currency("DBC", 8)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
values = st.decimals(min_value="0.0001", max_value="10000", places=6)


def rates(one: Decimal, two: Decimal) -> tuple[Rate, Rate]:
    return Rate(DBC, USD, one, NOW, "chain"), Rate(USD, CNY, two, NOW - timedelta(days=3), "bank")


@given(st.integers(0, 10**15), values, values)
def test_a_chain_is_rounded_once_to_the_asked_side(amount: int, one: Decimal, two: Decimal) -> None:
    way = Conversion(target=CNY, rates=rates(one, two))
    exact = Fraction(amount, 10**8) * Fraction(one) * Fraction(two) * 100
    money = DBC.money(Decimal(amount).scaleb(-8))
    assert way.convert(money).amount == ceil(exact)
    assert way.convert(money, up=False).amount == floor(exact)
    assert way.oldest == NOW - timedelta(days=3)


@given(st.integers(0, 10**9), values, values)
def test_there_and_back_never_gains(fen: int, one: Decimal, two: Decimal) -> None:
    chain = rates(one, two)
    there = Conversion(target=DBC, rates=chain[::-1]).convert(CNY.money(Decimal(fen).scaleb(-2)), up=False)
    assert Conversion(target=CNY, rates=chain).convert(there, up=False).amount <= fen


def test_the_shortest_way_is_taken_in_either_direction() -> None:
    one, two = rates(Decimal("0.0026"), Decimal("7.10"))
    direct = Rate(CNY, DBC, Decimal(54), NOW, "shop")
    assert shortest([one, two], "DBC", "CNY") == (one, two)
    assert shortest([one, two], "CNY", "DBC") == (two, one)
    assert shortest([one, two, direct], "DBC", "CNY") == (direct,)
    assert shortest([one], "DBC", "CNY") is None
    assert shortest([], "CNY", "CNY") == ()


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity"])
def test_no_way_leads_over_a_rate_that_is_none(value: str) -> None:
    one, two = rates(Decimal("0.0026"), Decimal(value))
    with pytest.raises(MoneyError):
        Conversion(target=CNY, rates=(one, two)).convert(DBC.money(1))


def test_rates_that_do_not_meet_convert_nothing() -> None:
    one, two = rates(Decimal(1), Decimal(7))
    for way in (Conversion(target=CNY, rates=(one,)), Conversion(target=CNY, rates=(two,))):
        with pytest.raises(MoneyError):
            way.convert(DBC.money(1))


def test_typed_amounts_get_the_decimals_of_their_wallets() -> None:
    assert fine(money_of((Decimal(200000), "DBC"))) == DBC.money(200000)
    assert fine(CNY.money(5)) == CNY.money(5)

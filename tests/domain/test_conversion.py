"""Conversions over several rates: exact, rounded once, by the shortest path."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.money import CNY, USD, Conversion, Currency, Rate, find_rate_path
from gpurent.domain.money_text import make_money, with_precision
from gpurent.errors import MoneyError

DBC = Currency("DBC", 8)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
values = st.decimals(min_value="0.0001", max_value="10000", places=6)


def make_rates(one: Decimal, two: Decimal) -> tuple[Rate, Rate]:
    return Rate(DBC, USD, one, NOW, "chain"), Rate(USD, CNY, two, NOW - timedelta(days=3), "bank")


@given(st.integers(0, 10**15), values, values)
def test_a_chain_is_rounded_once_to_the_asked_side(amount: int, one: Decimal, two: Decimal) -> None:
    conversion = Conversion(target=CNY, rates=make_rates(one, two))
    exact = Fraction(amount, 10**8) * Fraction(one) * Fraction(two) * 100
    money = DBC.money(Decimal(amount).scaleb(-8))
    assert conversion.convert(money).amount == ceil(exact)
    assert conversion.convert(money, round_up=False).amount == floor(exact)
    assert conversion.oldest_rate_at == NOW - timedelta(days=3)


@given(st.integers(0, 10**9), values, values)
def test_round_trip_conversion_never_gains(fen: int, one: Decimal, two: Decimal) -> None:
    chain = make_rates(one, two)
    converted = Conversion(target=DBC, rates=chain[::-1]).convert(
        CNY.money(Decimal(fen).scaleb(-2)), round_up=False
    )
    assert Conversion(target=CNY, rates=chain).convert(converted, round_up=False).amount <= fen


def test_shortest_chain_of_rates_is_used_in_either_direction() -> None:
    one, two = make_rates(Decimal("0.0026"), Decimal("7.10"))
    direct = Rate(CNY, DBC, Decimal(54), NOW, "acme")
    assert find_rate_path([one, two], "DBC", "CNY") == (one, two)
    assert find_rate_path([one, two], "CNY", "DBC") == (two, one)
    assert find_rate_path([one, two, direct], "DBC", "CNY") == (direct,)
    assert find_rate_path([one], "DBC", "CNY") is None
    assert find_rate_path([], "CNY", "CNY") == ()


class RatesReadOncePerCurrency(list[Rate]):
    """Rates of three currencies: a search that comes back to one of them would never end."""

    reads = 0

    def __iter__(self) -> Iterator[Rate]:
        self.reads += 1
        assert self.reads <= 3
        return super().__iter__()


def test_a_search_for_an_unreachable_currency_ends() -> None:
    rates = RatesReadOncePerCurrency(make_rates(Decimal("0.0026"), Decimal("7.10")))
    assert find_rate_path(rates, "DBC", "EUR") is None
    assert rates.reads == 3


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity"])
def test_invalid_rates_are_not_used_for_conversion(value: str) -> None:
    one, two = make_rates(Decimal("0.0026"), Decimal(value))
    with pytest.raises(MoneyError):
        Conversion(target=CNY, rates=(one, two)).convert(DBC.money(1))


def test_unconnected_rates_convert_nothing() -> None:
    one, two = make_rates(Decimal(1), Decimal(7))
    for conversion in (Conversion(target=CNY, rates=(one,)), Conversion(target=CNY, rates=(two,))):
        with pytest.raises(MoneyError):
            conversion.convert(DBC.money(1))


def test_typed_amounts_get_the_decimals_of_their_wallets() -> None:
    assert with_precision(make_money((Decimal(200000), "DBC"))) == DBC.money(200000)
    assert with_precision(CNY.money(5)) == CNY.money(5)

"""A rate must be dated, above zero and fresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.money import CNY, USD, Currency, Money, Rate
from gpurent.errors import MoneyError

TOKEN = Currency("DBC", 15)
NOW = datetime(2020, 7, 1, 12, tzinfo=UTC)
MAX_AGE = timedelta(hours=6)


def make_rate(value: str = "0.0021", at: datetime = NOW) -> Rate:
    return Rate(TOKEN, USD, Decimal(value), at, "the exchange")


@pytest.mark.parametrize("value", ["0", "-0", "-0.0021", "NaN", "sNaN", "-NaN", "Infinity", "-Infinity"])
def test_invalid_rate_converts_nothing(value: str) -> None:
    for use in (
        lambda: make_rate(value).check_age(NOW, MAX_AGE),
        lambda: make_rate(value).convert(USD.money("1")),
        lambda: make_rate(value).convert(TOKEN.money("1")),
    ):
        with pytest.raises(MoneyError, match="invalid exchange rate") as caught:
            use()
        assert caught.value.spent is None
        assert "the exchange" in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    "age", [MAX_AGE + timedelta(microseconds=1), timedelta(days=400), -MAX_AGE - timedelta(seconds=1)]
)
def test_a_stale_rate_is_refused_and_so_is_one_from_the_future(age: timedelta) -> None:
    with pytest.raises(MoneyError, match="is out of date") as caught:
        make_rate(at=NOW - age).check_age(NOW, MAX_AGE)
    assert caught.value.retryable
    assert caught.value.spent is None


@pytest.mark.parametrize("age", [timedelta(0), MAX_AGE, timedelta(minutes=-1)])
def test_a_fresh_rate_passes_unchanged(age: timedelta) -> None:
    fresh = make_rate(at=NOW - age)
    assert fresh.check_age(NOW, MAX_AGE) is fresh


def test_a_rate_is_no_float() -> None:
    with pytest.raises(TypeError):
        Rate(TOKEN, USD, 0.0021, NOW, "x")  # type: ignore[arg-type]


def test_a_strange_currency_is_not_converted() -> None:
    with pytest.raises(MoneyError, match="cannot convert CNY"):
        make_rate().convert(CNY.money("1"))
    with pytest.raises(MoneyError, match="cannot convert DBC"):
        make_rate().convert(Currency("DBC", 8).money("1"))


def test_a_tenfold_rate_moves_the_price_tenfold_and_leaves_the_old_ceiling_far_below() -> None:
    price = USD.money("4.20")
    before, after = make_rate("0.0021").convert(price), make_rate("0.00021").convert(price)
    assert before == TOKEN.money(2000)
    assert after == TOKEN.money(20000)
    moved = Money(before.amount * 105 // 100, TOKEN)
    assert after > moved


@given(st.integers(0, 10**24), st.decimals("0.000001", "1000000", places=9).filter(lambda value: value > 0))
def test_conversion_is_rounded_once_and_towards_the_side_that_was_asked(amount: int, value: Decimal) -> None:
    fixed = Rate(TOKEN, USD, value, NOW, "x")
    for money, exact, target in (
        (Money(amount, TOKEN), Fraction(amount, 10**15) * Fraction(value) * 100, USD),
        (Money(amount, USD), Fraction(amount, 100) / Fraction(value) * 10**15, TOKEN),
    ):
        up, down = fixed.convert(money), fixed.convert(money, round_up=False)
        assert up.currency == down.currency == target
        assert down.amount <= exact <= up.amount
        assert up.amount - down.amount <= 1

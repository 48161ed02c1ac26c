"""Money is exact: no float, no silent rounding, no silent conversion."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.money import CNY, USD, Currency, Money, UnitPrice
from gpurent.errors import MoneyError, UsageError

CHAIN_DBC = Currency("DBC", 15)
WEBSITE_DBC = Currency("DBC", 8)
currencies = st.builds(Currency, st.sampled_from(["CNY", "USD", "DBC"]), st.integers(0, 18))
amounts = st.integers(-(10**30), 10**30)
times = st.timedeltas(timedelta(0), timedelta(days=400))
prices = st.decimals(0, 10**9, places=6)


@given(amounts, currencies)
def test_what_is_written_is_what_is_read(amount: int, currency: Currency) -> None:
    money = Money(amount, currency)
    assert currency.money(money.decimal) == money
    assert currency.money(f"{money.decimal:f}") == money


@given(amounts, currencies)
def test_the_printed_amount_says_every_unit(amount: int, currency: Currency) -> None:
    text, code = str(Money(amount, currency)).rsplit(" ", 1)
    assert code == currency.code
    with localcontext(prec=60):
        assert Fraction(Decimal(text.replace(",", ""))) == Fraction(amount, 10**currency.exponent)


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(360, CNY), "3.60 CNY"),
        (Money(-5, CNY), "-0.05 CNY"),
        (Money(123456789, USD), "1,234,567.89 USD"),
        (CHAIN_DBC.money("60000"), "60,000 DBC"),
        (WEBSITE_DBC.money("1.50000001"), "1.50000001 DBC"),
        (WEBSITE_DBC.money("100"), "100 DBC"),
        (Money(7, Currency("JPY", 0)), "7 JPY"),
        (Money(1500, Currency("KWD", 3)), "1.5 KWD"),
    ],
)
def test_printed_as_people_read_it(money: Money, text: str) -> None:
    assert str(money) == text


@given(amounts, amounts, amounts)
def test_sums_are_sums_of_units(one: int, two: int, three: int) -> None:
    a, b, c = (Money(amount, CNY) for amount in (one, two, three))
    assert (a + b) + c == a + (b + c)
    assert a + b - b == a
    assert -a + a == CNY.zero
    assert (a < b, a <= b, a > b, a >= b) == (one < two, one <= two, one > two, one >= two)


@pytest.mark.parametrize("other", [USD.zero, CHAIN_DBC.zero, Currency("CNY", 3).zero])
def test_currencies_never_mix(other: Money) -> None:
    one = CNY.zero
    for mix in (
        lambda: one + other,
        lambda: one - other,
        lambda: one < other,
        lambda: one <= other,
        lambda: one > other,
        lambda: one >= other,
    ):
        with pytest.raises(MoneyError, match="without an exchange rate") as caught:
            mix()
        assert caught.value.spent is None
    assert one != other


def test_two_decimalisations_of_one_code_do_not_mix() -> None:
    with pytest.raises(MoneyError):
        WEBSITE_DBC.money("1") + CHAIN_DBC.money("1")


@pytest.mark.parametrize("value", [1.0, 0.1, True, "1", None, Decimal(1)])
def test_minor_units_are_whole_numbers(value: object) -> None:
    with pytest.raises(TypeError):
        Money(value, CNY)  # type: ignore[arg-type]


def test_a_float_is_no_amount() -> None:
    with pytest.raises(TypeError, match="never a float"):
        CNY.money(3.6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "-", "+", "1e3", "1,5", "1_000", "0x10", "NaN", "Infinity", "-inf", "sNaN", "３.６", "٣", "1 2",
     "1\n2", "--1", "1.2.3", "9" * 41, "1e999999999"],
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid amount"):
        CNY.money(text)


@pytest.mark.parametrize("text", ["0.001", "1.000000000000000000000000000000001", "-3.605"])
def test_more_digits_than_the_unit_has_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="too many decimal places"):
        CNY.money(text)
    with pytest.raises(UsageError, match="too many decimal places"):
        CNY.money(Decimal(text))


@pytest.mark.parametrize(
    ("text", "amount"), [("3.6", 360), ("3.600", 360), (" .5 ", 50), ("-2.", -200), ("+1", 100)]
)
def test_amounts_are_read_exactly(text: str, amount: int) -> None:
    assert CNY.money(text) == Money(amount, CNY)


def test_an_endless_decimal_is_refused_at_once() -> None:
    for value in (Decimal("1e999999"), Decimal("1e-999999"), Decimal("NaN")):
        with pytest.raises(UsageError):
            CNY.money(value)


@given(
    prices, times, st.sampled_from([timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]), currencies
)
def test_a_cost_is_rounded_once_from_the_exact_value(
    value: Decimal, time: timedelta, per: timedelta, currency: Currency
) -> None:
    price = UnitPrice(value, currency, per)
    exact = Fraction(value) * Fraction(time // timedelta(microseconds=1), per // timedelta(microseconds=1))
    exact *= 10**currency.exponent
    up, down = price.cost(time).amount, price.cost(time, round_up=False).amount
    assert down <= exact <= up
    assert up - exact < 1
    assert exact - down < 1


def test_a_cost_just_above_a_unit_costs_the_next_one() -> None:
    """A Decimal context of 28 digits would lose the last microsecond here."""
    price = UnitPrice(Decimal(80000), CHAIN_DBC)
    whole = timedelta(days=36500)
    assert price.cost(whole).amount == 80000 * 24 * 36500 * 10**15
    odd = UnitPrice(Decimal("80000.0000000000000000000000000001"), CHAIN_DBC)
    assert odd.cost(timedelta(hours=1)).amount == 80000 * 10**15 + 1


def test_no_time_costs_nothing() -> None:
    assert UnitPrice(Decimal("3.60"), CNY).cost(timedelta(0)) == CNY.zero


def test_the_price_of_a_minute() -> None:
    assert UnitPrice(Decimal("3.60"), CNY).cost(timedelta(minutes=1)) == Money(6, CNY)
    assert UnitPrice(Decimal("3.61"), CNY).cost(timedelta(minutes=1)) == Money(7, CNY)
    assert UnitPrice(Decimal("3.61"), CNY).cost(timedelta(minutes=1), round_up=False) == Money(6, CNY)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-0.01"])
def test_invalid_price_is_refused(value: str) -> None:
    with pytest.raises(MoneyError):
        UnitPrice(Decimal(value), CNY)


def test_a_price_is_no_float() -> None:
    with pytest.raises(TypeError):
        UnitPrice(3.6, CNY)  # type: ignore[arg-type]


def test_a_price_reads_like_one() -> None:
    assert str(UnitPrice(Decimal("3.60"), CNY)) == "3.6 CNY/h"
    assert str(UnitPrice(Decimal(100), CNY, timedelta(days=1))) == "100 CNY/1 day, 0:00:00"


def test_an_unknown_price_is_not_free_of_charge() -> None:
    price = UnitPrice.make_unknown(USD)
    assert price == UnitPrice(Decimal(0), USD, is_known=False)
    assert str(price) == "unknown"
    assert price != UnitPrice(Decimal(0), USD)


@pytest.mark.parametrize(
    ("code", "exponent"), [("cny", 2), ("C", 2), ("CNY\n", 2), ("CNY", -1), ("CNY", 19), ("CNY", 2.0)]
)
def test_a_currency_is_checked(code: str, exponent: int) -> None:
    with pytest.raises((ValueError, TypeError)):
        Currency(code, exponent)

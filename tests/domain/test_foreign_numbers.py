"""Numbers in text that others wrote: exact as a whole, or refused; never a part of them."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given, settings, strategies as st

from gpurent.domain.foreign_numbers import (
    parse_foreign_decimal,
    parse_foreign_integer,
    parse_foreign_money,
)
from gpurent.domain.money import CNY, USD, Currency, Money
from gpurent.domain.money_text import parse_amount

DBC = Currency("DBC", 8)
FULL_WIDTH = str.maketrans("0123456789.,-+", "０１２３４５６７８９．，－＋")
# Letters that numbers, amounts and what stands around them are made of.
LETTERS = st.text("0123456789.,-+eE_ ¥￥$元CNYUSD１２，．－²٣½()'", max_size=14)
NUMBER = re.compile(r"[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?|[+-]?\d+(\.\d+)?[eE][+-]?\d{1,2}", re.ASCII)


def format_number(value: Decimal, *, grouped: bool, wide: bool) -> str:
    text = f"{value:,f}" if grouped else f"{value:f}"
    return text.translate(FULL_WIDTH) if wide else text


decimals = st.decimals(-(10**12), 10**12, places=4) | st.decimals(-(10**9), 10**9, places=2)


@given(decimals, st.booleans(), st.booleans())
def test_what_a_page_writes_is_read_exactly(value: Decimal, grouped: bool, wide: bool) -> None:
    assert parse_foreign_decimal(format_number(value, grouped=grouped, wide=wide)) == value


def check_text(text: str) -> None:
    """Whatever ``text`` is: its exact value, or `ValueError`; an amount is the number beside its mark."""
    plain = text.translate(str.maketrans("１２，．－￥", "12,.-¥")).strip()
    try:
        found = parse_foreign_decimal(text)
    except ValueError:
        assert not NUMBER.fullmatch(plain)
    else:
        assert NUMBER.fullmatch(plain)
        assert found == Decimal(plain.replace(",", ""))
    try:
        money = parse_foreign_money(text, CNY)
    except ValueError:
        return
    rest = re.sub("[¥元 ]|CNY", "", plain)
    assert NUMBER.fullmatch(rest), text
    with localcontext(prec=60):
        assert money.decimal == Decimal(rest.replace(",", ""))


@example("1.234,50")
@example("3.50 元 9.00 元")
@given(LETTERS)
def test_a_text_is_read_as_a_whole_or_refused(text: str) -> None:
    check_text(text)


@pytest.mark.nightly
@settings(max_examples=100_000, deadline=None)
@given(LETTERS)
def test_100_000_texts_are_read_as_a_whole_or_refused(text: str) -> None:
    check_text(text)


@pytest.mark.parametrize(
    "value",
    ["", " ", "owes 3.50", "3.50 each", "1.234,50", "1,23", "0,123", "12,34,567", "1,2345", "1 234", "1_000", ".5",
     "5.", "--1", "+-1", "NaN", "Infinity", "0x10", "1e999", "²", "٣", "½", "(3.50)", "1" * 41, True, None, 3.5, [],
     b"1", Decimal("NaN"), Decimal("Infinity")],
)  # fmt: skip
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - without a message
        parse_foreign_decimal(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), (Decimal("5.0"), 5), ("1,234", 1234), ("7.00", 7), ("１２", 12), ("0", 0), ("1e3", 1000)],
)
def test_whole_numbers(value: object, number: int) -> None:
    assert parse_foreign_integer(value) == number


@pytest.mark.parametrize(
    "value", ["7.5", "-1", -1, Decimal("0.5"), "²", Decimal("1e999999"), Decimal("1e-999999")]
)
def test_a_fraction_is_no_whole_number(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - without a message
        parse_foreign_integer(value)


def test_how_long_a_number_may_be() -> None:
    longest = f"{'1' * 40}.{'1' * 19}"
    assert parse_foreign_decimal(longest) == Decimal(longest)
    with pytest.raises(ValueError):  # noqa: PT011 - without a message
        parse_foreign_decimal(f"{longest}1")
    assert parse_foreign_integer(Decimal("1e60")) == 10**60
    with pytest.raises(ValueError):  # noqa: PT011 - without a message
        parse_foreign_integer(Decimal("1e61"))
    token = Currency("TOK", 18)
    amount = f"{'1' * 38}.{'1' * 18}TOK"
    assert parse_foreign_money(amount, token).amount == int("1" * 56)
    with pytest.raises(ValueError):  # noqa: PT011 - without a message
        parse_foreign_money(f"1{amount}", token)


@pytest.mark.parametrize(
    ("text", "money"),
    [
        ("¥1,234.50", Money(123450, CNY)),
        ("￥１２．５", Money(1250, CNY)),
        ("-3.50 元", Money(-350, CNY)),
        ("¥-3.50", Money(-350, CNY)),
        ("－¥3.50", Money(-350, CNY)),
        ("CNY 12", Money(1200, CNY)),
        ("12 RMB", Money(1200, CNY)),
        ("¥12元", Money(1200, CNY)),
        ("US$5", Money(500, USD)),
        ("$5.25", Money(525, USD)),
        ("0.00000001DBC", Money(1, DBC)),
    ],
)
def test_amounts_with_their_currency(text: str, money: Money) -> None:
    assert parse_foreign_money(text, money.currency) == money


@pytest.mark.parametrize(
    "text", ["3.50", "$3.50", "¥3.50 USD", "3.505 元", "¥¥3", "-¥-3", "元", "3.50 元/小时", "owes ¥3.50"]
)
def test_amounts_that_are_not_in_the_currency_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - without a message
        parse_foreign_money(text, CNY)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1000CNY", (Decimal(1000), "CNY")), ("￥１００", (Decimal(100), "CNY")), ("100", (Decimal(100), ""))],
)
def test_typed_amounts(text: str, amount: tuple[Decimal, str]) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text", ["1,00CNY", "1,000CNY", "-5CNY", "1e3CNY", "1.2.3CNY", "9999999999999CNY", "5CNY5"]
)
def test_what_is_no_typed_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        parse_amount(text)

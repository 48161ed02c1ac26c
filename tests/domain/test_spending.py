"""A yes covers what costs no more in every respect, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from gpurent.domain.money import CNY, USD, Money, UnitPrice
from gpurent.domain.spending import AuthorizedBy, SpendingAuthorization, SpendingProposal

PRICE = UnitPrice(Decimal(3), CNY)
HIGHEST, DEPOSIT = CNY.money(9), CNY.money(600)


def covers(
    price: UnitPrice = PRICE,
    highest: Money = HIGHEST,
    deposit: Money | None = DEPOSIT,
    limit: Money | None = DEPOSIT,
) -> bool:
    authorized = SpendingAuthorization(price=PRICE, highest=HIGHEST, deposit=limit, by=AuthorizedBy.USER)
    proposal = SpendingProposal(price=price, highest=highest, deposit=deposit, question="?", details=())
    return authorized.covers(proposal)


def test_the_same_and_less_are_covered() -> None:
    assert covers()
    assert covers(UnitPrice(Decimal("2.99"), CNY), CNY.money("8.99"), CNY.money(599))
    assert covers(deposit=None)
    assert covers(deposit=None, limit=None)


@pytest.mark.parametrize(
    "price",
    [
        UnitPrice(Decimal("3.01"), CNY),
        UnitPrice(Decimal(1), USD),
        UnitPrice(Decimal(1), CNY, timedelta(minutes=1)),
    ],
)
def test_another_price_is_not(price: UnitPrice) -> None:
    assert not covers(price)


@pytest.mark.parametrize("highest", [CNY.money("9.01"), USD.money(1)])
def test_a_higher_total_is_not(highest: Money) -> None:
    assert not covers(highest=highest)


@pytest.mark.parametrize(
    ("deposit", "limit"), [(CNY.money("600.01"), DEPOSIT), (USD.money(1), DEPOSIT), (CNY.money("0.01"), None)]
)
def test_a_higher_deposit_is_not(deposit: Money, limit: Money | None) -> None:
    assert not covers(deposit=deposit, limit=limit)

"""Time left is exact, never below zero, and shared by all leases that draw on one balance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, USD, Money, UnitPrice
from gpurent.domain.offer import Deposit, Hardware, Metered, Offer, Prepaid
from gpurent.domain.time_left import (
    MAX_TIME_LEFT,
    TimeKind,
    compute_runway,
    drains_balance,
    sum_prices,
    time_left_by_balance,
    time_left_by_lease,
)
from gpurent.errors import MoneyError

NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
spans = st.sampled_from([timedelta(minutes=1), HOUR, timedelta(days=1), timedelta(seconds=7)])
prices = st.builds(UnitPrice, st.decimals(0, 10**6, places=8), st.just(CNY), spans)
burn_rates = st.builds(UnitPrice, st.decimals("0.00000001", 10**6, places=8), st.just(CNY), spans)
balances = st.builds(Money, st.integers(-(10**12), 10**12), st.just(CNY))


def price_per_second(price: UnitPrice) -> Fraction:
    return Fraction(price.value) / Fraction(price.per // MICROSECOND, 10**6)


@given(st.lists(prices, min_size=1, max_size=12))
def test_burn_rates_are_summed_exactly(found: list[UnitPrice]) -> None:
    assert price_per_second(sum_prices(found)) == sum(map(price_per_second, found))


@given(balances, burn_rates, st.timedeltas(-HOUR, HOUR))
def test_never_negative(balance: Money, burn_rate: UnitPrice, late: timedelta) -> None:
    time_left = time_left_by_balance(balance, NOW, burn_rate, NOW + late)
    assert time_left.kind is TimeKind.BALANCE
    assert time_left.left is not None
    assert time_left.until is not None
    assert time_left.left >= timedelta()
    assert time_left.until >= NOW


@given(balances, balances, burn_rates)
def test_monotone_in_the_balance(one: Money, other: Money, burn_rate: UnitPrice) -> None:
    less, more = sorted((one, other))
    assert (compute_runway(less, burn_rate) or timedelta()) <= (
        compute_runway(more, burn_rate) or timedelta()
    )


@given(st.integers(0, 10**9), burn_rates)
def test_what_is_left_is_paid_for_and_no_more(fen: int, burn_rate: UnitPrice) -> None:
    left = compute_runway(Money(fen, CNY), burn_rate)
    assert left is not None
    used = price_per_second(burn_rate) * Fraction(left // MICROSECOND, 10**6)
    assert used <= Fraction(fen, 100)
    if left < MAX_TIME_LEFT:
        assert used + price_per_second(burn_rate) * Fraction(1, 10**6) > Fraction(fen, 100)


@given(st.integers(0, 10**9), burn_rates, st.integers(1, 1000))
def test_n_leases_on_one_balance_share_it(fen: int, burn_rate: UnitPrice, count: int) -> None:
    alone, shared = (
        compute_runway(Money(fen, CNY), burn_rate),
        compute_runway(Money(fen, CNY), sum_prices([burn_rate] * count)),
    )
    assert alone is not None
    assert shared is not None
    if alone < MAX_TIME_LEFT:
        assert timedelta() <= alone - shared * count < (count + 1) * MICROSECOND


def test_zero_burn_rate_is_open_and_currencies_do_not_mix() -> None:
    free = UnitPrice(Decimal(0), CNY)
    assert compute_runway(Money(1, CNY), free) is None
    assert time_left_by_balance(Money(1, CNY), NOW, free, NOW).kind is TimeKind.OPEN
    with pytest.raises(MoneyError):
        compute_runway(Money(1, USD), UnitPrice(Decimal(1), CNY))
    with pytest.raises(MoneyError):
        sum_prices([UnitPrice(Decimal(1), CNY), UnitPrice(Decimal(1), USD)])


METERED = Metered(price=UnitPrice(Decimal("3.50"), CNY))
OFFER = Offer(key="28", provider="p", hardware=Hardware(gpu="P100", gpus=1), tariff=METERED)
LEASE = Lease(id="p-1", provider="p", offer=OFFER, state=LeaseState.READY, started_at=NOW)
PREPAID = evolve(OFFER, tariff=Prepaid(price=UnitPrice(Decimal(1), USD)))
PREPAID_WITH_DEPOSIT = evolve(PREPAID, deposit=Deposit(money=CNY.money(600), returned_on="return"))


@pytest.mark.parametrize(
    ("lease", "kind", "left"),
    [
        (evolve(LEASE, offer=PREPAID, expires_at=NOW + 2 * HOUR), TimeKind.PREPAID, 2 * HOUR),
        (evolve(LEASE, offer=PREPAID, expires_at=NOW - HOUR), TimeKind.PREPAID, timedelta()),
        (evolve(LEASE, offer=PREPAID_WITH_DEPOSIT, expires_at=NOW + HOUR), TimeKind.DEPOSIT, HOUR),
        (evolve(LEASE, offer=PREPAID_WITH_DEPOSIT), TimeKind.DEPOSIT, None),
        (
            evolve(LEASE, state=LeaseState.KEPT, kept_until=NOW + 15 * 24 * HOUR),
            TimeKind.KEPT,
            15 * 24 * HOUR,
        ),
        (evolve(LEASE, state=LeaseState.RELEASED), TimeKind.OVER, None),
        (evolve(LEASE, state=LeaseState.PAYABLE), TimeKind.OPEN, None),
    ],
)
def test_time_left_of_a_single_lease(lease: Lease, kind: TimeKind, left: timedelta | None) -> None:
    time_left = time_left_by_lease(lease, NOW)
    assert time_left is not None
    assert (time_left.kind, time_left.left) == (kind, left)


def test_metered_lease_is_limited_by_the_balance() -> None:
    assert time_left_by_lease(LEASE, NOW) is None
    assert drains_balance(LEASE)
    assert not drains_balance(evolve(LEASE, state=LeaseState.KEPT))

"""Everything that a figure of time left states: its end, its burn rate, its note and what it depends on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from attrs import evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, USD, UnitPrice
from gpurent.domain.offer import DeclaredTerms, Metered, Prepaid
from gpurent.domain.time_left import (
    MAX_TIME_LEFT,
    MachineTimer,
    TimeKind,
    TimeLeft,
    compute_runway,
    drains_balance,
    sum_prices,
    time_left_by_balance,
    time_left_by_lease,
    time_left_until,
)
from gpurent.errors import MoneyError
from tests.sample_lease import make_lease

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRICE = UnitPrice(Decimal("3.50"), CNY)
METERED = evolve(make_lease(), started_at=NOW)


def declare(**terms: object) -> DeclaredTerms:
    return DeclaredTerms(tariff=Metered(price=PRICE), at=NOW, **terms)  # type: ignore[arg-type]


def test_a_known_end() -> None:
    end = NOW + 2 * HOUR
    assert time_left_until(TimeKind.KEPT, end, NOW, "files only") == TimeLeft(
        kind=TimeKind.KEPT, until=end, left=2 * HOUR, note="files only"
    )
    assert time_left_until(TimeKind.PREPAID, end, end + HOUR) == TimeLeft(
        kind=TimeKind.PREPAID, until=end, left=timedelta()
    )
    assert time_left_until(TimeKind.OPEN, None, NOW) == TimeLeft(kind=TimeKind.OPEN)


def test_what_is_kept_for_nothing_lasts_until_it_is_deleted() -> None:
    free = evolve(METERED.offer, stopped_price=UnitPrice(Decimal(0), CNY))
    stopped = evolve(METERED, state=LeaseState.STOPPED, offer=free, kept_until=NOW + HOUR)
    kept = TimeLeft(kind=TimeKind.KEPT, until=NOW + HOUR, left=HOUR)
    assert time_left_by_lease(stopped, NOW) == kept
    assert time_left_by_lease(evolve(stopped, state=LeaseState.READY), NOW) is None
    assert time_left_by_lease(evolve(stopped, offer=METERED.offer), NOW) is None, (
        "the balance may end it before"
    )


def test_what_the_balance_pays_for() -> None:
    assert time_left_by_balance(CNY.money(7), NOW, PRICE, NOW + HOUR, "two leases") == TimeLeft(
        kind=TimeKind.BALANCE, until=NOW + 2 * HOUR, left=HOUR, burn_rate=PRICE, note="two leases"
    )
    assert time_left_by_balance(CNY.money(7), NOW, PRICE, NOW).note == ""
    free = UnitPrice(Decimal(0), CNY)
    assert time_left_by_balance(CNY.money(7), NOW, free, NOW, "free") == TimeLeft(
        kind=TimeKind.OPEN, burn_rate=free, note="free"
    )
    assert time_left_by_balance(CNY.money(7), NOW, free, NOW).note == ""


@pytest.mark.parametrize(
    ("declared", "expires_at", "kind"),
    [
        (declare(balance=CNY.money(7)), NOW + 2 * HOUR, TimeKind.BALANCE),
        (declare(until=NOW + 2 * HOUR), NOW + 2 * HOUR, TimeKind.PREPAID),
        (declare(), None, TimeKind.OPEN),
    ],
)
def test_a_lease_with_declared_terms(
    declared: DeclaredTerms, expires_at: datetime | None, kind: TimeKind
) -> None:
    lease = evolve(METERED, declared=declared, expires_at=expires_at)
    left = 2 * HOUR if expires_at is not None else None
    assert time_left_by_lease(lease, NOW) == TimeLeft(kind=kind, until=expires_at, left=left, burn_rate=PRICE)


def test_kept_files_count_only_for_a_machine_that_is_shut_down() -> None:
    kept_until = NOW + 24 * HOUR
    kept = evolve(METERED, state=LeaseState.KEPT)
    assert time_left_by_lease(evolve(kept, kept_until=kept_until), NOW) == TimeLeft(
        kind=TimeKind.KEPT, until=kept_until, left=24 * HOUR
    )
    assert time_left_by_lease(kept, NOW) == TimeLeft(kind=TimeKind.OVER)
    running = evolve(METERED, kept_until=kept_until, expires_at=NOW + HOUR)
    assert time_left_by_lease(running, NOW) == TimeLeft(kind=TimeKind.PREPAID, until=NOW + HOUR, left=HOUR)


@pytest.mark.parametrize("state", LeaseState)
def test_a_balance_is_drained_by_metered_leases_that_have_begun(state: LeaseState) -> None:
    lease: Lease = evolve(METERED, state=state)
    begun = state not in (LeaseState.REQUESTED, LeaseState.PAYABLE) and not lease.is_over
    assert drains_balance(lease) is begun
    assert not drains_balance(evolve(lease, offer=evolve(lease.offer, tariff=Prepaid(price=PRICE))))


def test_a_runway_is_exact() -> None:
    """In floating point, 13 fen at 3 fen an hour last a microsecond less."""
    price = UnitPrice(Decimal("0.03"), CNY)
    assert compute_runway(CNY.money("0.13"), price) == timedelta(hours=4, minutes=20)
    assert compute_runway(CNY.money(10**9), price) == MAX_TIME_LEFT
    assert compute_runway(CNY.money("-0.01"), price) == timedelta()


def test_prices_are_summed_with_all_their_digits() -> None:
    one = UnitPrice(Decimal("1e-18"), CNY)
    other = UnitPrice(Decimal(123456789012345678901234567890), CNY, timedelta(minutes=1))
    assert sum_prices([one, other]) == UnitPrice(
        Decimal("7407407340740740734074074073400.000000000000000001"), CNY, HOUR
    )
    assert sum_prices([PRICE]) == PRICE


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (UnitPrice(Decimal(1), USD), "cannot add prices in different currencies"),
        (UnitPrice.make_unknown(CNY), "price of a running machine is not known"),
    ],
)
def test_prices_that_cannot_be_summed(other: UnitPrice, message: str) -> None:
    for prices in ((PRICE, other), (other, PRICE)):
        with pytest.raises(MoneyError, match=message):
            sum_prices(prices)


def test_a_balance_in_another_currency_is_not_compared() -> None:
    with pytest.raises(MoneyError, match="cannot compare USD and CNY without an exchange rate"):
        compute_runway(USD.money(1), PRICE)


def test_a_timer_is_armed_while_it_has_a_time() -> None:
    assert MachineTimer(until=NOW).is_armed
    assert not MachineTimer(closing=True).is_armed

"""Charges computed from starts and stops: each run once, to the last unit, and unknown where a price is."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from attrs import evolve

from gpurent.api import (
    CNY,
    Known,
    Lease,
    LeaseState,
    Metered,
    UnitPrice,
    Unknown,
    compute_run_charges,
    list_machine_runs,
    note_machine_run,
)
from tests.sample_lease import make_lease

NOW = datetime.fromisoformat("2026-11-29T12:00:00+00:00")
HOUR = timedelta(hours=1)
PRICE = UnitPrice(Decimal("3.6"), CNY)
SECOND = timedelta(seconds=1)
LEASE = evolve(
    make_lease(),
    ref="m-1",
    state=LeaseState.READY,
    offer=evolve(make_lease().offer, tariff=Metered(price=PRICE, billing_increment=SECOND)),
)


def list_amounts(lease: Lease, now: datetime) -> list[tuple[int, bool]]:
    found = compute_run_charges(lease, CNY, now)
    assert isinstance(found, Known)
    return [(charge.money.amount, charge.growing) for charge in found.items]


def test_a_run_grows_until_it_is_stopped_and_the_next_is_another_charge() -> None:
    assert list_amounts(LEASE, NOW) == []
    first = note_machine_run(LEASE, NOW, None, None)
    assert list_amounts(first, NOW + HOUR) == [(360, True)]
    assert note_machine_run(first, NOW, None, None) == first
    stopped = note_machine_run(first, NOW, NOW + HOUR, None)
    assert note_machine_run(stopped, NOW, None, None) == stopped, "it is starting again"
    assert list_amounts(stopped, NOW + 50 * HOUR) == [(360, False)]
    dearer = note_machine_run(stopped, NOW + 2 * HOUR, None, evolve(PRICE, value=PRICE.value * 2))
    assert list_amounts(dearer, NOW + 3 * HOUR) == [(360, False), (720, True)]
    unread = note_machine_run(dearer, NOW + 2 * HOUR, NOW + 3 * HOUR, None)
    assert list_amounts(unread, NOW + 9 * HOUR) == [(360, False), (720, False)], "the price that was read"
    refs = [run.started_at for run in list_machine_runs(unread)]
    assert refs == [NOW, NOW + 2 * HOUR]


def test_a_stop_alone_ends_the_last_run_and_no_second_time() -> None:
    assert list_machine_runs(note_machine_run(LEASE, None, NOW, None)) == []
    running = note_machine_run(LEASE, NOW, None, None)
    stopped = note_machine_run(running, None, NOW + HOUR, None)
    assert list_amounts(note_machine_run(stopped, None, NOW + 5 * HOUR, None), NOW + 9 * HOUR) == [
        (360, False)
    ]


def test_increments_that_have_begun_are_charged_and_the_end_of_the_lease_is_the_last_stop() -> None:
    running = note_machine_run(LEASE, NOW, None, None)
    assert list_amounts(running, NOW + timedelta(milliseconds=1)) == [(1, True)]
    ended = evolve(running.with_state(LeaseState.RELEASED), ended_at=NOW + HOUR)
    assert list_amounts(ended, NOW + 9 * HOUR) == [(360, False)]
    assert list_amounts(running, NOW - HOUR) == [], "a clock that runs behind charges nothing"


def test_a_price_that_is_not_known_is_no_0() -> None:
    tariff = Metered(price=UnitPrice.make_unknown(CNY), billing_increment=SECOND)
    lease = note_machine_run(evolve(LEASE, offer=evolve(LEASE.offer, tariff=tariff)), NOW, None, None)
    assert isinstance(compute_run_charges(lease, CNY, NOW + HOUR), Unknown)
    priced = note_machine_run(lease, NOW, None, PRICE)
    assert list_amounts(priced, NOW + HOUR) == [(360, True)]

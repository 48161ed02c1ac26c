"""Which answers of a provider end a lease: positive evidence only."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter

import pytest
from attrs import evolve

from gpurent.api import CNY
from gpurent.domain.access import Endpoint
from gpurent.domain.evidence import Absent
from gpurent.domain.lease import OVER_STATES, TRANSITIONS, Lease, LeaseState, PendingOrder
from gpurent.domain.lease_evidence import apply_answer, restore_last_seen
from gpurent.domain.money import UnitPrice
from gpurent.domain.offer import Bill, OrderKind
from tests.sample_lease import make_lease

NOW = datetime.fromisoformat("2026-11-29T12:00:00+00:00")
LATER = NOW + timedelta(seconds=30)
SOON = NOW + timedelta(seconds=29)
READY = evolve(
    make_lease(), state=LeaseState.READY, ref="7", endpoint=Endpoint.parse("ssh u@gpu.example.com -p 22")
)
OPEN_RENEWAL = PendingOrder(key="t-renew", kind=OrderKind.RENEW, ref="r")


def look_twice(lease: Lease, second: datetime = LATER, absent: Absent | None = None, **more: bool) -> Lease:
    once = apply_answer(lease, absent or Absent(), NOW, **more)
    return apply_answer(once, absent or Absent(), second, **more)


@pytest.mark.parametrize("looks", [1, 2, 100])
def test_absent_without_our_release_is_missing_and_never_over(looks: int) -> None:
    lease = READY
    for number in range(looks):
        lease = apply_answer(lease, Absent(), NOW + number * timedelta(hours=1))
        assert lease.state is LeaseState.MISSING
        assert not lease.is_over
    assert lease.endpoint == READY.endpoint, "it may still answer"
    assert lease.last_seen_state is LeaseState.READY
    assert lease.absent_since == NOW


def test_seen_again_it_is_as_before() -> None:
    missing = apply_answer(READY, Absent(), NOW)
    asked = restore_last_seen(missing)
    assert asked.state is LeaseState.READY, "a provider never sees MISSING"
    seen = apply_answer(missing, evolve(asked, note=""), LATER)
    assert seen == evolve(READY, note="")


def test_after_our_release_two_answers_end_it_and_one_does_not() -> None:
    asked = evolve(READY, state=LeaseState.RELEASING, release_requested_at=NOW)
    once = apply_answer(asked, Absent(), NOW)
    assert once.state is LeaseState.RELEASING
    assert apply_answer(once, Absent(), SOON).state is LeaseState.RELEASING, "too soon after the first"
    over = apply_answer(once, Absent(), LATER)
    assert over.state is LeaseState.RELEASED
    assert over.ended_at == NOW
    assert over.endpoint is None


def test_seen_between_two_absences_it_is_not_released() -> None:
    asked = evolve(READY, state=LeaseState.RELEASING, release_requested_at=NOW)
    once = apply_answer(asked, Absent(), NOW)
    again = apply_answer(once, restore_last_seen(once), SOON)
    assert apply_answer(again, Absent(), LATER).state is LeaseState.RELEASING


def test_a_release_is_not_done_while_an_order_is_pending() -> None:
    asked = evolve(
        READY,
        state=LeaseState.RELEASING,
        release_requested_at=NOW,
        pending=evolve(OPEN_RENEWAL, kind=OrderKind.SWITCH),
    )
    assert not look_twice(asked).is_over


def test_a_stated_end_that_has_passed_needs_two_answers_too() -> None:
    ended = evolve(READY, expires_at=NOW - timedelta(minutes=1))
    assert apply_answer(ended, Absent(), NOW).state is LeaseState.MISSING
    over = look_twice(ended)
    assert over.state is LeaseState.EXPIRED
    assert over.ended_at == ended.expires_at
    kept = look_twice(ended, absent=Absent(files_kept_for=timedelta(days=10)))
    assert kept.state is LeaseState.KEPT
    assert kept.kept_until == NOW - timedelta(minutes=1) + timedelta(days=10)


def test_an_end_that_has_not_passed_ends_nothing() -> None:
    assert look_twice(evolve(READY, expires_at=LATER + timedelta(seconds=1))).state is LeaseState.MISSING


def test_an_unfinished_renewal_forbids_the_stated_end() -> None:
    ended = evolve(READY, expires_at=NOW - timedelta(minutes=1))
    assert look_twice(ended, order_is_open=True).state is LeaseState.MISSING
    assert look_twice(evolve(ended, pending=OPEN_RENEWAL)).state is LeaseState.MISSING


def test_kept_files_are_gone_after_their_time_and_two_answers() -> None:
    kept = evolve(READY, state=LeaseState.KEPT, kept_until=NOW)
    assert apply_answer(kept, Absent(), NOW).state is LeaseState.KEPT
    assert look_twice(kept).state is LeaseState.GONE
    later = evolve(kept, kept_until=LATER + timedelta(days=1))
    assert look_twice(later).state is LeaseState.KEPT


@pytest.mark.parametrize("over", sorted(OVER_STATES, key=attrgetter("value")))
def test_an_end_is_revised_when_the_lease_is_seen_alive(over: LeaseState) -> None:
    ended = evolve(READY, state=over)
    assert apply_answer(ended, ended.with_state(LeaseState.READY), NOW).state is LeaseState.READY


@pytest.mark.parametrize("over", sorted(OVER_STATES, key=attrgetter("value")))
def test_absence_changes_no_end(over: LeaseState) -> None:
    assert look_twice(evolve(READY, state=over)).state is over


def test_no_living_state_is_over_and_each_can_go_missing() -> None:
    for state in (LeaseState.PROVISIONING, LeaseState.READY, LeaseState.STOPPED, LeaseState.INTERRUPTED):
        lease = evolve(READY, state=state)
        assert not lease.is_over
        assert apply_answer(lease, Absent(), NOW).last_seen_state is state
        assert LeaseState.CANCELLED not in TRANSITIONS[state], "what was created is not cancelled"


def test_a_stopped_machine_costs_its_own_price() -> None:
    price = READY.offer.tariff.price
    stopped = evolve(
        READY,
        state=LeaseState.STOPPED,
        offer=evolve(READY.offer, stopped_price=evolve(price, value=price.value / 10)),
    )
    assert not stopped.is_over, "its disk is still billed, so a release asks the provider"
    assert stopped.current_price.value == price.value / 10
    assert evolve(stopped, state=LeaseState.READY).current_price == price


def test_a_machine_that_is_shut_down_for_nothing_is_rented_until_its_files_are_deleted() -> None:
    free = evolve(READY.offer, stopped_price=evolve(READY.offer.tariff.price, value=Decimal(0)))
    stopped = evolve(READY, state=LeaseState.STOPPED, offer=free, kept_until=NOW)
    assert (stopped.is_over, stopped.is_kept_free) == (False, True), "a release still asks the provider"
    assert stopped.state_title == "stopped, costs nothing"
    assert not evolve(stopped, state=LeaseState.READY).is_kept_free
    unknown = evolve(free, stopped_price=UnitPrice.make_unknown(CNY))
    assert not evolve(stopped, offer=unknown).is_kept_free, "a price that is not known is no 0"
    gone = look_twice(stopped)
    assert (gone.state, gone.kept_until, gone.ended_at) == (LeaseState.GONE, None, NOW)
    assert look_twice(evolve(stopped, kept_until=LATER + timedelta(seconds=1))).state is LeaseState.MISSING
    assert look_twice(evolve(stopped, offer=READY.offer)).state is LeaseState.MISSING, "it may be billed"


def test_a_switch_is_counted_if_the_lease_follows_the_new_order() -> None:
    gpu = evolve(READY.offer, key="gpu")
    bill = Bill(key="t-main", payee="p", amount=CNY.money("1"))
    pending = PendingOrder(key="t-main", kind=OrderKind.SWITCH, ref="8", bill=bill, offer=gpu)
    before = evolve(READY, pending=pending)
    after = apply_answer(before, evolve(before, ref="8", pending=None), NOW)
    assert after.completed_orders == ("t-main",)
    assert after.offer == gpu
    cancelled = apply_answer(before, evolve(before, pending=None), NOW)
    assert cancelled.completed_orders == ()
    assert cancelled.offer == READY.offer


def test_a_renewal_is_counted_if_the_paid_time_grew() -> None:
    before = evolve(READY, pending=OPEN_RENEWAL, expires_at=NOW)
    assert apply_answer(before, evolve(before, pending=None, expires_at=LATER), NOW).completed_orders == (
        "t-renew",
    )
    assert apply_answer(before, evolve(before, pending=None), NOW).completed_orders == ()

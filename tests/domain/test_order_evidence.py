"""What is recorded of a lease's orders and release, and exactly what a lease is after its end."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from attrs import evolve

from gpurent.api import CNY
from gpurent.domain.access import Endpoint
from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.lease_evidence import (
    apply_absence,
    apply_answer,
    keep_sent_time,
    mark_order_sent,
    mark_release_requested,
    restore_last_seen,
)
from gpurent.domain.offer import Bill, OrderKind
from tests.sample_lease import make_lease

NOW = datetime.fromisoformat("2026-11-29T12:00:00+00:00")
LATER = NOW + timedelta(seconds=30)
READY = evolve(
    make_lease(ref="7"), endpoint=Endpoint.parse("ssh u@gpu.example.com -p 22"), note="as reported"
)
RENEWAL = PendingOrder(key="t-renew", kind=OrderKind.RENEW, ref="r")
RENEWING = evolve(READY, pending=RENEWAL)


def look_twice(lease: Lease, absent: Absent | None = None) -> Lease:
    once = apply_absence(lease, absent or Absent(), NOW)
    return apply_absence(once, absent or Absent(), LATER)


def test_a_release_is_recorded_once_and_absences_count_anew() -> None:
    missing = apply_absence(READY, Absent(), NOW - timedelta(days=1))
    asked = mark_release_requested(missing, NOW)
    assert asked == evolve(missing, release_requested_at=NOW, absent_since=None)
    assert mark_release_requested(asked, LATER) is asked


def test_the_first_time_of_an_order_is_kept() -> None:
    assert mark_order_sent(READY, NOW) is READY, "nothing is pending"
    sent = mark_order_sent(RENEWING, NOW)
    assert sent == evolve(READY, pending=evolve(RENEWAL, sent_at=NOW))
    assert mark_order_sent(sent, LATER) is sent


def test_an_answer_keeps_when_its_order_was_sent() -> None:
    sent = mark_order_sent(RENEWING, NOW)
    answer = evolve(RENEWING, pending=evolve(RENEWAL, paid=True))
    assert keep_sent_time(sent, answer) == evolve(READY, pending=evolve(RENEWAL, paid=True, sent_at=NOW))
    for asked, same in ((sent, READY), (READY, answer), (sent, mark_order_sent(answer, LATER))):
        assert keep_sent_time(asked, same) is same


def test_only_a_missing_lease_is_asked_about_as_it_was() -> None:
    missing = evolve(READY, state=LeaseState.MISSING, last_seen_state=LeaseState.STOPPED)
    assert restore_last_seen(missing).state is LeaseState.STOPPED
    for lease in (evolve(missing, last_seen_state=None), evolve(missing, state=LeaseState.RELEASING)):
        assert restore_last_seen(lease) is lease


@pytest.mark.parametrize(("ref", "completed"), [("7", ("t-new",)), ("", ())])
def test_a_new_order_is_counted_if_there_is_a_machine(ref: str, completed: tuple[str, ...]) -> None:
    before = evolve(READY, ref="", pending=PendingOrder(key="t-new", kind=OrderKind.NEW))
    after = apply_answer(before, evolve(before, ref=ref, pending=None), NOW)
    assert after == evolve(before, ref=ref, pending=None, completed_orders=completed)


def test_an_order_is_counted_once_and_changes_no_other_offer() -> None:
    gpu = evolve(READY.offer, key="gpu")
    bill = Bill(key="t-renew", payee="p", amount=CNY.money("1"))
    before = evolve(READY, pending=evolve(RENEWAL, offer=gpu, bill=bill), completed_orders=("t-main",))
    after = apply_answer(before, evolve(before, pending=None, expires_at=LATER), NOW)
    assert after.completed_orders == ("t-main", "t-renew")
    assert after.offer == READY.offer, "only a SWITCH changes to another offer"
    counted = evolve(before, completed_orders=("t-renew",))
    assert apply_answer(counted, evolve(counted, pending=None), NOW).completed_orders == ("t-renew",)


def test_a_switch_without_an_offer_keeps_the_one_there_is() -> None:
    before = evolve(READY, pending=PendingOrder(key="t-switch", kind=OrderKind.SWITCH))
    after = apply_answer(before, evolve(before, ref="8", pending=None), NOW)
    assert after == evolve(READY, ref="8", completed_orders=("t-switch",))


def test_a_lease_that_is_over_keeps_nothing_of_the_answers_before() -> None:
    asked = evolve(READY, state=LeaseState.RELEASING, release_requested_at=NOW)
    end = evolve(asked, state=LeaseState.RELEASED, endpoint=None, ended_at=NOW)
    assert look_twice(asked) == evolve(end, note="released")
    assert look_twice(asked, Absent("no such instance")) == evolve(end, note="no such instance")


def test_a_lease_that_ran_out_ended_at_its_stated_end() -> None:
    ended = evolve(READY, expires_at=NOW - timedelta(minutes=1))
    end = evolve(ended, state=LeaseState.EXPIRED, endpoint=None, ended_at=ended.expires_at)
    assert look_twice(ended) == evolve(end, note="the rented time ran out")
    assert look_twice(ended, Absent("paid time over")) == evolve(end, note="paid time over")
    days = timedelta(days=10)
    kept = evolve(end, state=LeaseState.KEPT, kept_until=NOW - timedelta(minutes=1) + days)
    assert look_twice(ended, Absent(files_kept_for=days)) == evolve(kept, note="the rented time ran out")


def test_an_end_is_reached_at_its_very_moment() -> None:
    assert look_twice(evolve(READY, expires_at=LATER)).state is LeaseState.EXPIRED
    kept = evolve(READY, state=LeaseState.KEPT, ended_at=NOW)
    gone = look_twice(evolve(kept, kept_until=LATER))
    assert gone == evolve(kept, state=LeaseState.GONE, note="its files are no longer kept")


def test_what_is_missing_says_that_it_may_still_cost_money() -> None:
    once = apply_absence(READY, Absent(), NOW)
    assert once == evolve(
        READY,
        state=LeaseState.MISSING,
        absent_since=NOW,
        last_seen_state=LeaseState.READY,
        note="the provider's answer does not contain it; it may still cost money",
    )
    again = apply_absence(once, Absent("not in the list"), LATER)
    assert again == evolve(once, note="not in the list")

"""When the Store counts as older than the second copy of a lease."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve

from gpurent.domain.lease import LeaseState, PendingOrder
from gpurent.domain.lease_copy import is_outdated, is_sent_unawares, make_lease_copy, restore_lease
from gpurent.domain.offer import OrderKind
from tests.sample_lease import make_lease

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENT = PendingOrder(key="k", kind=OrderKind.NEW, ref="r", sent_at=NOW)


def test_a_lease_that_was_restored_with_its_sent_order_is_not_lost_any_more() -> None:
    lease = evolve(make_lease(), state=LeaseState.PAYABLE, pending=SENT)
    copy = make_lease_copy(lease, "account")
    assert copy is not None
    assert is_outdated(None, copy, ())
    restored = restore_lease(copy)
    assert not is_outdated(restored, copy, ())
    assert not is_sent_unawares(restored, copy)


def test_a_store_that_does_not_know_that_the_order_was_sent_is_older() -> None:
    lease = evolve(make_lease(), state=LeaseState.PAYABLE, pending=SENT)
    copy = make_lease_copy(lease, "account")
    assert copy is not None
    before = evolve(lease, pending=evolve(SENT, sent_at=None))
    assert is_sent_unawares(before, copy)
    assert is_outdated(evolve(lease, pending=None), copy, ())

"""A lease moves by one table, and says what it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from attrs import evolve

from gpurent.domain.lease import OVER_STATES, TRANSITIONS, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Bill, Prepaid
from gpurent.errors import LeaseError
from tests.sample_lease import make_lease

PREPAID = Prepaid(price=UnitPrice(Decimal(1), CNY))


def test_a_lease_moves_by_the_table_alone() -> None:
    for before in LeaseState:
        lease = evolve(make_lease(), state=before)
        for after in LeaseState:
            if after is before or after in TRANSITIONS[before]:
                assert lease.with_state(after) == evolve(lease, state=after)
            else:
                with pytest.raises(LeaseError, match=r"lease x-1 cannot change from .+ to .+"):
                    lease.with_state(after)


def test_a_note_stays_until_there_is_another() -> None:
    lease = evolve(make_lease(), note="starting up")
    assert lease.with_state(LeaseState.STOPPED).note == "starting up"
    assert lease.with_state(LeaseState.STOPPED, "shut down by us").note == "shut down by us"
    assert make_lease().with_state(LeaseState.STOPPED).note == ""


@pytest.mark.parametrize("state", LeaseState)
def test_what_was_never_confirmed_cost_nothing(state: LeaseState) -> None:
    lease = make_lease()
    prepaid = evolve(lease, state=state, offer=evolve(lease.offer, tariff=PREPAID))
    unconfirmed = state in (LeaseState.REQUESTED, LeaseState.PAYABLE, LeaseState.CANCELLED)
    assert evolve(lease, state=state).has_cost is not unconfirmed, "its meter may have run"
    assert evolve(prepaid, started_at=datetime(2026, 3, 1, tzinfo=UTC)).has_cost is not unconfirmed
    bill = Bill(key="k", payee="p", amount=CNY.money(1))
    assert evolve(prepaid, bills=(bill,)).has_cost is not unconfirmed
    still_billed = state in (LeaseState.STOPPED, LeaseState.INTERRUPTED, LeaseState.MISSING)
    assert prepaid.has_cost is still_billed
    assert evolve(prepaid, bills=(evolve(bill, amount=CNY.zero),)).has_cost is still_billed


@pytest.mark.parametrize("state", LeaseState)
def test_every_state_has_a_title_and_some_are_ends(state: LeaseState) -> None:
    assert state.title
    assert evolve(make_lease(), state=state).is_over is (state in OVER_STATES)

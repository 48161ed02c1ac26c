"""What an error says of money is what the trip's records show, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY
from gpurent.domain.offer import Bill, Payment, Prepaid
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, LeaseError, SoldOut, Spent
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.workflow.payments.trip_spending import TripSpending
from gpurent.workflow.runtime.leases import add_burning_lease
from tests.sample_lease import make_lease

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BILL = Bill(key="k", payee="shop", amount=CNY.money(3))
PAYMENT = Payment(key="k", proof="p", amount=CNY.money(3), at=NOW)


@pytest.fixture
async def store(tmp_path: Path) -> SqliteStore:
    made = SqliteStore(tmp_path / "journal.sqlite", lambda: NOW)
    await made.begin_trip("t1", "run", TripSpec(provider="shop"))
    return made


async def record(store: SqliteStore, step: str, value: object = None) -> None:
    """Begin the step; with a ``value``, also record its end."""
    await store.begin_step("t1", step)
    if value is not None:
        await store.record_step("t1", step, value)


async def find(store: SqliteStore, error: GpurentError | None = None, lease: Lease | None = None) -> Spent:
    return await TripSpending(store).find_spending("t1", error or LeaseError("it failed"), lease)


async def test_nothing_ordered_is_nothing_spent(store: SqliteStore) -> None:
    await record(store, "login", "student")
    await record(store, "leg0.reserve")
    assert await find(store) is Spent.NO


async def test_a_bill_that_was_not_authorized_was_never_paid(store: SqliteStore) -> None:
    await record(store, "leg0.bill", BILL)
    await record(store, "leg0.pay")
    assert await find(store) is Spent.NO
    known = AuthorizedBill(key=BILL.key, trip="t1", provider="shop", amount=BILL.amount, purpose=BILL.purpose)
    await store.put_authorized_bill(evolve(known, amount=CNY.money(2)))
    assert await find(store) is Spent.NO, "another amount was authorized"
    await store.put_authorized_bill(known)
    assert await find(store) is Spent.UNKNOWN, "the account may have been asked to pay"
    assert await find(store, LeaseError("the balance is too low", spent=Spent.NO)) is Spent.NO, (
        "the account said so"
    )
    await record(store, "leg0.pay", PAYMENT)
    assert await find(store) is Spent.YES


async def test_a_confirmation_that_did_not_end_may_have_started_the_meter(store: SqliteStore) -> None:
    await record(store, "leg0.confirm")
    assert await find(store) is Spent.UNKNOWN
    assert await find(store, SoldOut("taken")) is Spent.NO, "a named refusal"
    await record(store, "leg0.confirm", "ready")
    assert await find(store) is Spent.NO


async def test_what_an_error_says_itself_counts(store: SqliteStore) -> None:
    for spent in (Spent.YES, Spent.UNKNOWN, Spent.NO):
        assert await find(store, LeaseError("it failed", spent=spent)) is spent


@pytest.mark.parametrize(
    ("state", "started_at", "costs"),
    [
        (LeaseState.REQUESTED, None, False),
        (LeaseState.PAYABLE, None, False),
        (LeaseState.CANCELLED, NOW, False),
        (LeaseState.READY, NOW, True),
        (LeaseState.RELEASED, NOW, True),
    ],
)
async def test_a_lease_costs_money_once_it_was_confirmed(
    store: SqliteStore, state: LeaseState, started_at: datetime | None, costs: bool
) -> None:
    lease = evolve(make_lease(), state=state, started_at=started_at, bills=(BILL,))
    assert lease.has_cost is costs
    error = add_burning_lease(LeaseError("it failed"), lease)
    assert (error.spent is Spent.YES) is costs, "never money that was not spent"
    assert error.burning == (() if lease.is_over else (lease.id,))
    assert (await find(store, lease=lease) is Spent.YES) is costs


@pytest.mark.parametrize("state", [LeaseState.STOPPED, LeaseState.INTERRUPTED, LeaseState.MISSING])
def test_a_machine_that_is_stopped_or_not_listed_counts_as_costing(state: LeaseState) -> None:
    made = make_lease()
    offer = evolve(made.offer, tariff=Prepaid(price=made.offer.tariff.price))
    lease = evolve(made, offer=offer, state=state, started_at=None, bills=())
    assert lease.has_cost
    assert add_burning_lease(LeaseError("it failed"), lease).burning == (lease.id,)

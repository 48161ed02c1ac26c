"""Contract tests for the summaries of many records."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve, frozen

from gpurent.domain.lease import LeaseState
from gpurent.domain.ledger import make_transaction
from gpurent.domain.money import CNY
from gpurent.domain.offer import Payment
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.summaries import LeasePeriod
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import (
    MINUTE,
    SPEC,
    START,
    SteppedClock,
    StoreContract,
    make_lease,
)
from gpurent.testing.contracts.store.payments import BILL


@frozen
class StepResult:
    """What a launch records."""

    at: datetime


async def add_charge(store: Store, kind: ChargeKind, yuan: int, ref: str, lease: str = "l1") -> None:
    charge = Charge(at=START, kind=kind, money=CNY.money(yuan), ref=ref)
    await store.ledger.add_transactions([make_transaction(charge, "acme", lease=lease, trip="t1")])


class SummaryContract(StoreContract):
    """`gpurent.ports.store.SummaryStore`."""

    async def test_payments_that_are_in_no_entry(self, store: Store, clock: SteppedClock) -> None:
        for key, lease, trip in (("k2", "l1", "t2"), ("k1", "", "t1"), ("k3", "l3", "t3")):
            await store.put_authorized_bill(evolve(BILL, key=key, lease=lease, trip=trip))
            clock.advance()
            payment = Payment(key=key, proof=f"proof-{key}", amount=BILL.amount, at=START)
            await store.put_payment(trip, payment)
        await store.put_authorized_bill(evolve(BILL, key="unpaid", trip="t4"))
        assert list(await store.summaries.list_unbooked_trips()) == ["t2", "t1", "t3"]
        await add_charge(store, ChargeKind.USAGE, 3, "proof-k2")
        assert list(await store.summaries.list_unbooked_trips()) == ["t1", "t3"]
        assert list(await store.summaries.list_fee_payments("acme")) == [("t1", "proof-k1")]
        assert await store.summaries.list_fee_payments("other") == []

    async def test_periods_of_leases(self, store: Store) -> None:
        await store.save_lease(make_lease("l2"))
        ended = evolve(make_lease("l1", LeaseState.RELEASED), ended_at=START + MINUTE)
        await store.save_lease(evolve(ended, books_closed_at=START + 2 * MINUTE))
        periods = await store.summaries.list_lease_periods()
        assert list(periods) == [
            LeasePeriod("l2", "acme", False, False, START, None, None, None),
            LeasePeriod("l1", "acme", True, False, START, START + MINUTE, None, START + 2 * MINUTE),
        ]

    async def test_leases_whose_machine_never_answered(self, store: Store) -> None:
        await store.save_lease(make_lease("l1"))
        await store.save_lease(evolve(make_lease("l2", LeaseState.RELEASED), start_failed_at=START))
        assert await store.summaries.list_failed_starts() == {"l2"}

    async def test_a_lease_is_settled_when_nothing_is_held(self, store: Store) -> None:
        await add_charge(store, ChargeKind.DEPOSIT, 5, "d")
        await add_charge(store, ChargeKind.USAGE, 1, "u")
        await add_charge(store, ChargeKind.USAGE, 1, "v", lease="l2")
        assert await store.summaries.list_settled_leases() == {"l2"}
        await add_charge(store, ChargeKind.DEPOSIT_REFUND, 5, "e")
        assert await store.summaries.list_settled_leases() == {"l1", "l2"}

    async def test_movements_are_in_the_order_of_entry(self, store: Store) -> None:
        await add_charge(store, ChargeKind.USAGE, 2, "u")
        await add_charge(store, ChargeKind.REFUND, 1, "r")
        movements = await store.summaries.list_movements()
        assert [(item.kind, item.money, item.lease, item.trip) for item in movements] == [
            (ChargeKind.USAGE, CNY.money(2), "l1", "t1"),
            (ChargeKind.REFUND, CNY.money(1), "l1", "t1"),
        ]
        assert movements[0].at == START
        assert list(await store.summaries.list_movements(since=START, until=START + MINUTE)) == list(
            movements
        )
        assert await store.summaries.list_movements(until=START) == []
        assert await store.summaries.list_movements(since=START + MINUTE) == []

    async def test_times_of_steps(self, store: Store, clock: SteppedClock) -> None:
        done_at = clock.at
        for trip in ("t2", "t1"):
            await store.begin_trip(trip, "run", SPEC, f"lease-{trip}")
            for name in ("plan", "leg0.upload", "leg0.launch", "leg0.monitor"):
                await store.begin_step(trip, name)
                done_at = clock.advance()
                if name != "leg0.monitor":
                    await store.record_step(trip, name, StepResult(START))
        found = await store.summaries.list_step_times()
        assert [(item.trip, item.name) for item in found] == [
            (trip, name) for trip in ("t2", "t1") for name in ("leg0.upload", "leg0.launch")
        ]
        upload, launch = await store.summaries.list_step_times("t1")
        assert (upload.at, launch.at, launch.lease) == (None, START, "lease-t1")
        assert (launch.started_at, launch.done_at) == (done_at - 2 * MINUTE, done_at - MINUTE)
        assert launch.done_at.utcoffset() == UTC.utcoffset(None)

    async def test_an_empty_store(self, store: Store) -> None:
        summaries = store.summaries
        assert await summaries.list_unbooked_trips() == []
        assert await summaries.list_lease_periods() == []
        assert await summaries.list_failed_starts() == set()
        assert await summaries.list_settled_leases() == set()
        assert await summaries.list_movements() == []
        assert await summaries.list_step_times() == []

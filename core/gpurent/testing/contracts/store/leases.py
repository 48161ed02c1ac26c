"""Contract tests for leases and orders."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import OrderKind
from gpurent.domain.orders import OrderOutcome, OrderRecord
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import START, SteppedClock, StoreContract, make_lease

ORDER = OrderRecord(
    key="k1", lease="l1", trip="t1", provider="acme", kind=OrderKind.NEW, account="me", claim="offer-1"
)


class LeaseStoreContract(StoreContract):
    """`gpurent.ports.store.LeaseStore`."""

    async def test_a_lease_comes_back_as_it_was_saved(self, store: Store, other: Store) -> None:
        lease = make_lease(note="一行\nand another")
        await store.save_lease(lease)
        assert await other.find_lease("l1") == lease
        changed = lease.with_state(LeaseState.RELEASED, "gone")
        await store.save_lease(changed)
        assert await other.find_lease("l1") == changed

    async def test_leases_are_listed_oldest_first(self, store: Store) -> None:
        states = {"l3": LeaseState.READY, "l1": LeaseState.RELEASED, "l2": LeaseState.MISSING}
        for name, state in states.items():
            await store.save_lease(make_lease(name, state))
        await store.save_lease(make_lease("l3", note="changed"))
        assert [lease.id for lease in await store.list_leases()] == ["l3", "l1", "l2"]
        assert [lease.id for lease in await store.list_open_leases()] == ["l3", "l2"]

    async def test_what_is_not_there(self, store: Store) -> None:
        assert await store.find_lease("l1") is None
        assert await store.list_leases() == []
        assert not await store.swap_lease(make_lease(), make_lease(note="x"))
        assert await store.list_leases() == []

    async def test_of_two_changes_of_one_lease_one_wins(self, store: Store, other: Store) -> None:
        before = make_lease()
        await store.save_lease(before)
        changes = [(handle, evolve(before, note=note)) for handle, note in ((store, "a"), (other, "b"))]
        swapped = await asyncio.gather(*(handle.swap_lease(before, after) for handle, after in changes))
        assert sorted(swapped) == [False, True]
        assert await store.find_lease("l1") == changes[swapped.index(True)][1]


class OrderContract(StoreContract):
    """`gpurent.ports.store.OrderStore`."""

    async def test_an_order_is_open_until_it_ends(
        self, store: Store, other: Store, clock: SteppedClock
    ) -> None:
        assert await store.open_order(ORDER) is None
        opened = evolve(ORDER, opened_at=START)
        assert await other.find_order("k1") == opened
        assert await other.find_open_order("l1") == opened
        ended_at = clock.advance()
        await store.end_order("k1", OrderOutcome.COMPLETED)
        clock.advance()
        await store.end_order("k1", OrderOutcome.CANCELLED)
        ended = evolve(opened, ended_at=ended_at, outcome=OrderOutcome.COMPLETED)
        assert await other.find_order("k1") == ended
        assert await other.find_open_order("l1") is None

    async def test_an_order_that_was_recorded_before_stays(self, store: Store, clock: SteppedClock) -> None:
        for _time in range(2):
            assert await store.open_order(ORDER) is None
            clock.advance()
        await store.end_order("k1", OrderOutcome.REFUSED)
        assert await store.open_order(ORDER) is None
        found = await store.find_order("k1")
        assert found is not None
        assert (found.opened_at, found.outcome) == (START, OrderOutcome.REFUSED)

    async def test_one_unfinished_order_for_each_lease(self, store: Store) -> None:
        await store.open_order(ORDER)
        second = evolve(ORDER, key="k2", claim="", trip="t2")
        assert await store.open_order(second) == evolve(ORDER, opened_at=START)
        assert await store.find_order("k2") is None
        await store.end_order("k1", OrderOutcome.REFUSED)
        assert await store.open_order(second) is None

    async def test_one_unfinished_order_for_each_claim_of_an_account(self, store: Store) -> None:
        await store.open_order(ORDER)
        assert await store.open_order(evolve(ORDER, key="k2", lease="l2")) == evolve(ORDER, opened_at=START)
        others = (
            evolve(ORDER, account="you"),
            evolve(ORDER, provider="other"),
            evolve(ORDER, claim="offer-2"),
        )
        for number, order in enumerate(others):
            assert await store.open_order(evolve(order, key=f"k{number + 3}", lease=f"l{number + 3}")) is None
        for lease in ("l8", "l9"):
            assert await store.open_order(evolve(ORDER, key=lease, lease=lease, claim="")) is None

    async def test_an_offer_is_claimed_by_one_of_the_users_accounts(self, store: Store) -> None:
        await store.open_order(evolve(ORDER, provider="acme@lab", account="lab"))
        for name in ("acme", "acme@home"):
            rival = evolve(ORDER, key=name, lease=name, provider=name)
            assert (await store.open_order(rival)) is not None
        for name in ("acm", "acme-2@lab"):
            assert await store.open_order(evolve(ORDER, key=name, lease=name, provider=name)) is None

    @pytest.mark.parametrize("is_swapped", [False, True])
    async def test_an_order_ends_with_the_lease_that_says_so(
        self, store: Store, clock: SteppedClock, is_swapped: bool
    ) -> None:
        """In the same commit: a process that dies right after it leaves no finished order open."""
        before, other = make_lease(), evolve(ORDER, key="k2", lease="l2", claim="")
        counted = evolve(before, completed_orders=("k0", "k1"))
        cancelled = before.with_state(LeaseState.RELEASED, "never paid")
        for after, outcome in ((counted, OrderOutcome.COMPLETED), (cancelled, OrderOutcome.CANCELLED)):
            order = evolve(ORDER, key=outcome.value if after is cancelled else "k1")
            await store.save_lease(before)
            await store.open_order(order)
            await store.open_order(other)
            await store.save_lease(evolve(before, note="changed"))
            assert await store.find_open_order("l1") is not None
            if is_swapped:
                assert await store.swap_lease(evolve(before, note="changed"), after)
            else:
                await store.save_lease(after)
            ended = await store.find_order(order.key)
            assert ended is not None
            assert ended.outcome is outcome
            assert await store.find_open_order("l1") is None
            assert await store.find_open_order("l2") is not None

    async def test_of_two_orders_at_once_one_is_recorded(self, store: Store, other: Store) -> None:
        orders = ORDER, evolve(ORDER, key="k2", lease="l2")
        in_the_way = await asyncio.gather(store.open_order(orders[0]), other.open_order(orders[1]))
        assert [order for order in in_the_way if order is None] == [None]
        kept = orders[in_the_way.index(None)]
        assert evolve(kept, opened_at=START) in in_the_way

    async def test_orders_of_a_trip_are_listed_oldest_first(self, store: Store, clock: SteppedClock) -> None:
        for number in (3, 1, 2):
            await store.open_order(
                evolve(ORDER, key=f"k{number}", lease=f"l{number}", claim="", trip=f"t{number % 2}")
            )
            clock.advance()
        assert [order.key for order in await store.list_trip_orders("t1")] == ["k3", "k1"]

    async def test_what_is_not_there(self, store: Store) -> None:
        await store.end_order("k1", OrderOutcome.COMPLETED)
        assert await store.find_order("k1") is None
        assert await store.find_open_order("l1") is None
        assert await store.list_trip_orders("t1") == []

"""Contract tests for locks, and for the sessions that hold them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.offer import OrderKind
from gpurent.domain.orders import OrderRecord
from gpurent.errors import BusyError, LockLost
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import SPEC, SteppedClock, StoreContract, make_lease
from gpurent.testing.contracts.store.payments import BILL

ORDER = OrderRecord(key="k1", lease="l1", trip="t1", provider="acme", kind=OrderKind.NEW)


class LockContract(StoreContract):
    """`gpurent.ports.lock_store.LockStore`."""

    async def test_a_lock_has_one_holder(self, store: Store, other: Store) -> None:
        async with store.hold_lock("t1"):
            for handle in (store, other):
                with pytest.raises(BusyError, match=r"^t1 is in use by gpurent run \(process"):
                    async with handle.hold_lock("t1"):
                        pass
            async with other.hold_lock("t2"):
                pass
        async with other.hold_lock("t1"):
            pass

    async def test_a_lock_has_an_owner_while_it_is_held(
        self, store: Store, other: Store, clock: SteppedClock
    ) -> None:
        assert await other.find_lock_owner("t1") is None
        for _time in range(2):
            taken_at = clock.advance()
            async with store.hold_lock("t1"):
                clock.advance()
                owner = await other.find_lock_owner("t1")
                assert owner is not None
                assert (owner.process, owner.command, owner.since) == (os.getpid(), "gpurent run", taken_at)
                assert owner.host
            assert await other.find_lock_owner("t1") is None

    async def test_who_held_a_lock_last_is_known_when_it_is_free(
        self, store: Store, other: Store, clock: SteppedClock
    ) -> None:
        assert await other.find_last_holder("t1") is None
        for _time in range(2):
            taken_at = clock.advance()
            async with store.hold_lock("t1"):
                clock.advance()
                held = await other.find_last_holder("t1")
            freed = await other.find_last_holder("t1")
            assert held is not None
            assert held == freed
            assert (held.process, held.since) == (os.getpid(), taken_at)
        assert await other.find_last_holder("t2") is None

    async def test_whoever_asks_for_the_owner_is_in_nobodys_way(self, store: Store, other: Store) -> None:
        async def ask() -> None:
            for _time in range(50):
                await other.find_lock_owner("t1")
                await asyncio.sleep(0)

        asking = asyncio.create_task(ask())
        while not asking.done():
            async with store.hold_lock("t1"):
                await asyncio.sleep(0)
        await asking

    async def test_a_lock_is_free_after_an_error(self, store: Store, other: Store) -> None:
        with pytest.raises(RuntimeError, match="work"):
            async with store.hold_lock("t1"), store.hold_lock("l1"):
                raise RuntimeError("work")
        async with other.hold_lock("t1"), other.hold_lock("l1"):
            pass

    async def test_locks_exclude_tasks_of_one_process(self, store: Store) -> None:
        held = asyncio.Event()

        async def hold() -> None:
            async with store.hold_lock("l1"):
                held.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await held.wait()
        with pytest.raises(BusyError):
            async with store.hold_lock("l1"):
                pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.hold_lock("l1"):
            pass

    async def test_what_a_session_wrote_is_seen_by_all(self, store: Store, other: Store) -> None:
        async with store.hold_lock("t1"):
            await store.begin_trip("t1", "run", SPEC)
            async with store.hold_lock("l1"):
                await store.save_lease(make_lease())
                await store.require_locks()
                assert await other.find_lease("l1") == await store.find_lease("l1") == make_lease()
            await store.begin_step("t1", "plan")
        assert await store.list_steps("t1") == await other.list_steps("t1") != []

    async def test_a_session_that_lost_a_lock_writes_nothing(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        await store.begin_trip("t1", "run", SPEC)
        await store.begin_step("t1", "plan")
        async with store.hold_lock("t1"), store.hold_lock("l1"):
            self.free_lock(tmp_path, "t1")
            async with other.hold_lock("t1"):
                await other.record_step("t1", "plan", "other")
            for write in self._list_writes(store):
                with pytest.raises(LockLost, match=r"^t1 was taken over by gpurent run \(process"):
                    await write()
            with pytest.raises(LockLost):
                await store.require_locks()
            with pytest.raises(LockLost):
                async with store.hold_lock("l2"):
                    pass
            assert await store.find_step_value("t1", "plan", str) == "other", "it can still read"
        await self._require_unchanged(other)
        async with store.hold_lock("t1"):
            await store.record_step("t1", "plan", "again")
        assert await other.find_step_value("t1", "plan", str) == "again"

    def _list_writes(self, store: Store) -> list[Callable[[], Awaitable[object]]]:
        lease = make_lease()
        return [
            lambda: store.begin_trip("t2", "run", SPEC),
            lambda: store.begin_step("t1", "launch"),
            lambda: store.record_step("t1", "plan", "mine"),
            lambda: store.discard_steps("t1", ["plan"]),
            lambda: store.save_lease(lease),
            lambda: store.swap_lease(lease, evolve(lease, note="x")),
            lambda: store.open_order(ORDER),
            lambda: store.put_authorized_bill(BILL),
            lambda: store.put_plugin_text("p", "n", "x"),
            lambda: store.ledger.add_transactions([]),
        ]

    async def _require_unchanged(self, store: Store) -> None:
        assert [record.id for record in await store.list_trips()] == ["t1"]
        (step,) = await store.list_steps("t1")
        assert step.name == "plan"
        assert await store.find_step_value("t1", "plan", str) == "other"
        assert await store.list_leases() == []
        assert await store.find_order("k1") is None
        assert await store.find_authorized_bill("k") is None
        assert await store.find_plugin_text("p", "n") is None

    async def test_a_lost_lock_stops_only_what_is_done_under_it(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        async def write(lock: str, lease: str) -> None:
            async with store.hold_lock(lock):
                held[lock].set()
                await lost.wait()
                await store.save_lease(make_lease(lease))

        held, lost = {"a": asyncio.Event(), "b": asyncio.Event()}, asyncio.Event()
        tasks = [asyncio.create_task(write(lock, lock)) for lock in held]
        await asyncio.gather(*(event.wait() for event in held.values()))
        self.free_lock(tmp_path, "a")
        async with other.hold_lock("a"):
            pass
        lost.set()
        failed, done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, LockLost)
        assert done is None
        assert [lease.id for lease in await store.list_leases()] == ["b"]

    async def test_a_task_writes_through_the_session_that_began_it(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        async def save() -> None:
            await store.save_lease(make_lease())

        async with store.hold_lock("t1"):
            await asyncio.create_task(save())
            self.free_lock(tmp_path, "t1")
            async with other.hold_lock("t1"):
                pass
            with pytest.raises(LockLost):
                await asyncio.create_task(save())

    async def test_a_task_that_outlives_its_lock_can_only_read(self, store: Store) -> None:
        released = asyncio.Event()

        async def go_on() -> None:
            await released.wait()
            assert await store.list_leases() == []
            await store.save_lease(make_lease())

        async with store.hold_lock("t1"):
            task = asyncio.create_task(go_on())
            await asyncio.sleep(0)
        released.set()
        with pytest.raises(RuntimeError, match="after the lock t1 was released"):
            await task

    async def test_locks_are_released_in_turn(self, store: Store) -> None:
        async with AsyncExitStack() as stack:
            for name in ("a", "b", "c"):
                await stack.enter_async_context(store.hold_lock(name))
            await store.save_lease(make_lease())
        assert [await store.find_lock_owner(name) for name in ("a", "b", "c")] == [None] * 3
        await store.save_lease(make_lease(note="without a lock"))

"""Contract tests for what was last seen and reported, and for the texts of plugins."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from attrs import evolve

from gpurent.domain.guard_memory import GuardMemory
from gpurent.domain.money import CNY, Currency, Money
from gpurent.domain.orphans import Orphan, OrphanKind
from gpurent.domain.time_left import SavedBalance, SavedTimer
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import MINUTE, START, StoreContract

LATER = START + MINUTE
NO_ZONE = datetime(2026, 1, 1)  # noqa: DTZ001 - what is refused


class WatchContract(StoreContract):
    """All ports of `gpurent.ports.watch_store`."""

    async def test_balances_of_two_accounts(self, store: Store, other: Store) -> None:
        mine = SavedBalance(billing="acme", account="me", money=Money(10**30, Currency("DBC", 15)), at=LATER)
        yours = SavedBalance(billing="acme", account="you", money=CNY.money(2), at=START)
        for balance in (mine, yours):
            await store.put_last_balance(balance)
        names = ("me", "you", "", "she")
        found = [await other.find_last_balance("acme", name) for name in names]
        assert found == [mine, yours, mine, None]
        await store.put_last_balance(evolve(mine, money=CNY.money(1)))
        assert await other.find_last_balance("acme", "me") == evolve(mine, money=CNY.money(1))
        assert await other.find_last_balance("other", "") is None

    async def test_of_two_watchers_one_warns_of_a_threshold(self, store: Store, other: Store) -> None:
        passed = [5 * MINUTE, 15 * MINUTE]
        warned = await asyncio.gather(
            store.swap_passed_thresholds("l1", passed), other.swap_passed_thresholds("l1", passed)
        )
        assert sorted(map(len, warned)) == [0, 2]
        assert await other.swap_passed_thresholds("l1", [15 * MINUTE]) == set(), "armed again"
        assert await store.swap_passed_thresholds("l1", passed) == {5 * MINUTE}
        assert await store.swap_passed_thresholds("l2", passed) == set(passed), "another lease"

    async def test_an_extended_timer_keeps_who_armed_it(self, store: Store, other: Store) -> None:
        assert await store.find_machine_timer("l1") is None
        await store.put_machine_timer("l1", START, by_policy=True)
        await store.put_machine_timer("l1", LATER)
        assert await other.find_machine_timer("l1") == SavedTimer(until=LATER, by_policy=True)
        await store.put_machine_timer("l1", None)
        assert await other.find_machine_timer("l1") is None
        await store.put_machine_timer("l1", LATER)
        assert await other.find_machine_timer("l1") == SavedTimer(until=LATER)

    async def test_times_of_a_lease(self, store: Store, other: Store) -> None:
        assert await store.find_meter_read_time("l1") is None
        assert await store.find_results_save_time("l1") is None
        for at in (LATER, START):
            await store.put_meter_read_time("l1", at)
            await store.put_results_save_time("l1", at)
        read_at, saved_at = await other.find_meter_read_time("l1"), await other.find_results_save_time("l1")
        assert read_at == saved_at == START
        assert read_at is not None
        assert read_at.utcoffset() == UTC.utcoffset(None)
        assert await other.find_meter_read_time("l2") is None

    async def test_a_time_without_a_zone_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="without a zone"):
            await store.put_meter_read_time("l1", NO_ZONE)
        with pytest.raises(ValueError, match="without a zone"):
            await store.put_results_save_time("l1", NO_ZONE)
        assert await store.find_meter_read_time("l1") is None
        assert await store.find_results_save_time("l1") is None

    async def test_a_memory_is_replaced_with_its_warnings(self, store: Store, other: Store) -> None:
        full = GuardMemory(
            observed_at=START, ticks=(1, 2), last_write=3, output_at=START, warned_at={"a": START, "b": LATER}
        )
        for memory in (full, GuardMemory(idle_since=START, warned_at={"b": LATER}), GuardMemory()):
            await store.put_guard_memory("l1", memory)
            assert await other.find_guard_memory("l1") == memory
        assert await store.find_guard_memory("l2") is None

    async def test_a_memory_is_written_with_its_warnings_or_not_at_all(self, store: Store) -> None:
        memory = GuardMemory(idle_since=START, warned_at={"a": START})
        await store.put_guard_memory("l1", memory)
        with pytest.raises(ValueError, match="without a zone"):
            await store.put_guard_memory("l1", GuardMemory(warned_at={"b": LATER, "c": NO_ZONE}))
        assert await store.find_guard_memory("l1") == memory

    async def test_of_two_searches_one_begins(self, store: Store, other: Store) -> None:
        assert await store.find_orphan_search_time() is None
        begun = await asyncio.gather(
            store.swap_orphan_search_time(None, START), other.swap_orphan_search_time(None, START)
        )
        assert sorted(begun) == [False, True]
        assert not await other.swap_orphan_search_time(LATER, LATER)
        assert await other.swap_orphan_search_time(START, LATER)
        assert await store.find_orphan_search_time() == LATER

    async def test_an_orphan_is_reported_once_for_each_account(self, store: Store, other: Store) -> None:
        orphan = Orphan(kind=OrphanKind.UNKNOWN_MACHINE, provider="acme", ref="1")
        accounts = (store, "me"), (other, "me"), (store, "you"), (other, "")
        reported = [await handle.put_orphan_report(orphan, account) for handle, account in accounts]
        assert reported == [True, False, True, False]
        assert await store.put_orphan_report(evolve(orphan, ref="2"), "me")

    async def test_accounts_are_listed_until_they_are_deleted(self, store: Store, other: Store) -> None:
        for login in ("b@two", "a@one", "b@two"):
            await store.put_account(login)
        assert list(await other.list_accounts()) == ["a@one", "b@two"]
        for login in ("a@one", "nobody@one"):
            await other.delete_account(login)
        assert list(await store.list_accounts()) == ["b@two"]
        assert await store.find_plugin_text("b", "two") is None

    async def test_texts_of_plugins(self, store: Store, other: Store) -> None:
        for plugin, name, text in (("a", "n", "1"), ("b", "n", "2"), ("a", "n", "三\n"), ("a", "m", "")):
            await store.put_plugin_text(plugin, name, text)
        wanted = (("a", "n"), ("b", "n"), ("a", "m"), ("b", "m"))
        assert [await other.find_plugin_text(*key) for key in wanted] == ["三\n", "2", "", None]

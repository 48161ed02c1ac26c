"""Payments by key, and what was last seen and reported: one row each, and one process is first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gpurent.domain.guard_memory import GuardMemory
from gpurent.domain.money import CNY, Currency, Money
from gpurent.domain.offer import Payment, PaymentPurpose
from gpurent.domain.orphans import Orphan, OrphanKind
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.time_left import SavedBalance, SavedTimer
from gpurent.infra.sqlite.store import SqliteStore

AT = datetime(2026, 11, 29, 14, 30, tzinfo=UTC)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
DBC = Currency("DBC", 8)
MINUTE = timedelta(minutes=1)
BILL = AuthorizedBill(
    key="k",
    trip="t1",
    lease="l1",
    provider="p",
    account="me",
    amount=CNY.money(3),
    purpose=PaymentPurpose.RENT,
)
PAYMENT = Payment(key="k", proof="x", amount=CNY.money(3), at=AT)


def open_store(path: Path) -> closing[SqliteStore]:
    return closing(SqliteStore(path, lambda: NOW))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with open_store(tmp_path / "journal.sqlite") as made:
        yield made


async def test_a_payment_is_recorded_only_after_its_authorization_and_once(store: SqliteStore) -> None:
    with pytest.raises(LookupError, match="k was not authorized"):
        await store.put_payment("t1", PAYMENT)
    await store.put_authorized_bill(BILL)
    with pytest.raises(ValueError, match="not paid in its currency"):
        await store.put_payment("t1", Payment(key="k", proof="x", amount=Money(3, DBC), at=AT))
    assert await store.find_recorded_payment("k") is None
    await store.put_payment("t2", PAYMENT)
    await store.put_payment("t1", Payment(key="k", proof="another", amount=CNY.money(1), at=NOW))
    await store.put_authorized_bill(BILL)
    await store.confirm_recorded_payment("k")
    (known,) = await store.list_trip_payments("t2")
    assert (known.trip, known.account, known.authorized_at) == ("t2", "me", NOW), "the trip that paid"
    assert (known.payment, known.confirmed_at) == (PAYMENT, NOW)
    assert await store.list_trip_payments("t1") == []


async def test_one_unfinished_binding_for_each_address_of_an_account(store: SqliteStore) -> None:
    for account, key, known in (
        ("me", "k1", "k1"),
        ("me", "k2", "k1"),
        ("you", "k3", "k3"),
        ("", "k4", "k1"),
    ):
        assert await store.claim_binding_key("p", account, "a@b", key) == known
    await store.end_mail_binding("p", "me", "a@b")
    assert await store.claim_binding_key("p", "me", "a@b", "k5") == "k5"
    assert await store.claim_binding_key("p", "you", "a@b", "k6") == "k3", "another account's is another one"


async def test_balances_of_two_accounts(store: SqliteStore) -> None:
    mine = SavedBalance(billing="p", account="me", money=CNY.money(1), at=NOW)
    yours = SavedBalance(billing="p", account="you", money=CNY.money(2), at=AT)
    for balance in (mine, yours):
        await store.put_last_balance(balance)
    assert [await store.find_last_balance("p", name) for name in ("me", "you", "", "she")] == [
        mine,
        yours,
        mine,
        None,
    ]


async def test_an_orphan_is_reported_once_for_each_account(store: SqliteStore) -> None:
    orphan = Orphan(kind=OrphanKind.UNKNOWN_MACHINE, provider="p", ref="1")
    told = [await store.put_orphan_report(orphan, account) for account in ("me", "me", "you", "")]
    assert told == [True, False, True, False]


async def test_of_two_searches_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_store(path) as one, open_store(path) as two:
        assert await one.swap_orphan_search_time(None, AT)
        assert not await two.swap_orphan_search_time(None, AT)
        assert await two.swap_orphan_search_time(AT, NOW)
        assert await one.find_orphan_search_time() == NOW


async def test_of_two_watchers_one_warns_of_a_threshold(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_store(path) as one, open_store(path) as two:
        assert await one.swap_passed_thresholds("l1", [5 * MINUTE, 15 * MINUTE]) == {5 * MINUTE, 15 * MINUTE}
        assert await two.swap_passed_thresholds("l1", [5 * MINUTE, 15 * MINUTE]) == set()
        assert await two.swap_passed_thresholds("l1", [15 * MINUTE]) == set(), "armed again"
        assert await one.swap_passed_thresholds("l1", [5 * MINUTE, 15 * MINUTE]) == {5 * MINUTE}


async def test_a_memory_is_replaced_with_its_warnings(store: SqliteStore) -> None:
    before = GuardMemory(
        observed_at=AT, ticks=(1, 2), last_write=3, output_at=AT, warned_at={"a": AT, "b": NOW}
    )
    for memory in (before, GuardMemory(idle_since=AT, warned_at={"b": NOW}), GuardMemory()):
        await store.put_guard_memory("l1", memory)
        assert await store.find_guard_memory("l1") == memory
    assert await store.find_guard_memory("l2") is None


async def test_an_extended_timer_keeps_who_armed_it(store: SqliteStore) -> None:
    await store.put_machine_timer("l1", AT, by_policy=True)
    await store.put_machine_timer("l1", NOW)
    assert await store.find_machine_timer("l1") == SavedTimer(until=NOW, by_policy=True)
    await store.put_machine_timer("l1", None)
    await store.put_machine_timer("l1", NOW)
    assert await store.find_machine_timer("l1") == SavedTimer(until=NOW)


async def test_a_time_without_a_zone_is_refused(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        await store.put_meter_read_time("l1", datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    assert await store.find_meter_read_time("l1") is None

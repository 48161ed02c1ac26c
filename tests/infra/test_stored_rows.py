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


def test_a_payment_is_recorded_only_after_its_authorization_and_once(store: SqliteStore) -> None:
    with pytest.raises(LookupError, match="k was not authorized"):
        store.put_payment("t1", PAYMENT)
    store.put_authorized_bill(BILL)
    with pytest.raises(ValueError, match="not paid in its currency"):
        store.put_payment("t1", Payment(key="k", proof="x", amount=Money(3, DBC), at=AT))
    assert store.find_recorded_payment("k") is None
    store.put_payment("t2", PAYMENT)
    store.put_payment("t1", Payment(key="k", proof="another", amount=CNY.money(1), at=NOW))
    store.put_authorized_bill(BILL)
    store.confirm_recorded_payment("k")
    (known,) = store.list_trip_payments("t2")
    assert (known.trip, known.account, known.authorized_at) == ("t2", "me", NOW), "the trip that paid"
    assert (known.payment, known.confirmed_at) == (PAYMENT, NOW)
    assert store.list_trip_payments("t1") == []


def test_one_unfinished_binding_for_each_address_of_an_account(store: SqliteStore) -> None:
    for account, key, known in (
        ("me", "k1", "k1"),
        ("me", "k2", "k1"),
        ("you", "k3", "k3"),
        ("", "k4", "k1"),
    ):
        assert store.claim_binding_key("p", account, "a@b", key) == known
    store.end_mail_binding("p", "me", "a@b")
    assert store.claim_binding_key("p", "me", "a@b", "k5") == "k5"
    assert store.claim_binding_key("p", "you", "a@b", "k6") == "k3", "another account's is another one"


def test_balances_of_two_accounts(store: SqliteStore) -> None:
    mine = SavedBalance(billing="p", account="me", money=CNY.money(1), at=NOW)
    yours = SavedBalance(billing="p", account="you", money=CNY.money(2), at=AT)
    for balance in (mine, yours):
        store.put_last_balance(balance)
    assert [store.find_last_balance("p", name) for name in ("me", "you", "", "she")] == [
        mine,
        yours,
        mine,
        None,
    ]


def test_an_orphan_is_reported_once_for_each_account(store: SqliteStore) -> None:
    orphan = Orphan(kind=OrphanKind.UNKNOWN_MACHINE, provider="p", ref="1")
    told = [store.put_orphan_report(orphan, account) for account in ("me", "me", "you", "")]
    assert told == [True, False, True, False]


def test_of_two_searches_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_store(path) as one, open_store(path) as two:
        assert one.swap_orphan_search_time(None, AT)
        assert not two.swap_orphan_search_time(None, AT)
        assert two.swap_orphan_search_time(AT, NOW)
        assert one.find_orphan_search_time() == NOW


def test_of_two_watchers_one_warns_of_a_threshold(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with open_store(path) as one, open_store(path) as two:
        assert one.swap_passed_thresholds("l1", [5 * MINUTE, 15 * MINUTE]) == {5 * MINUTE, 15 * MINUTE}
        assert two.swap_passed_thresholds("l1", [5 * MINUTE, 15 * MINUTE]) == set()
        assert two.swap_passed_thresholds("l1", [15 * MINUTE]) == set(), "armed again"
        assert one.swap_passed_thresholds("l1", [5 * MINUTE, 15 * MINUTE]) == {5 * MINUTE}


def test_a_memory_is_replaced_with_its_warnings(store: SqliteStore) -> None:
    before = GuardMemory(
        observed_at=AT, ticks=(1, 2), last_write=3, output_at=AT, warned_at={"a": AT, "b": NOW}
    )
    for memory in (before, GuardMemory(idle_since=AT, warned_at={"b": NOW}), GuardMemory()):
        store.put_guard_memory("l1", memory)
        assert store.find_guard_memory("l1") == memory
    assert store.find_guard_memory("l2") is None


def test_an_extended_timer_keeps_who_armed_it(store: SqliteStore) -> None:
    store.put_machine_timer("l1", AT, by_policy=True)
    store.put_machine_timer("l1", NOW)
    assert store.find_machine_timer("l1") == SavedTimer(until=NOW, by_policy=True)
    store.put_machine_timer("l1", None)
    store.put_machine_timer("l1", NOW)
    assert store.find_machine_timer("l1") == SavedTimer(until=NOW)


def test_a_time_without_a_zone_is_refused(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        store.put_meter_read_time("l1", datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    assert store.find_meter_read_time("l1") is None

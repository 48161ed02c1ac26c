"""Schema 5: what older versions kept as notes, and payments that only steps recorded, are found in typed rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.guard_memory import GuardMemory
from gpurent.domain.money import CNY, Currency, Money
from gpurent.domain.offer import Payment, PaymentPurpose
from gpurent.domain.orphans import Orphan, OrphanKind
from gpurent.domain.payments import AuthorizedBill, RecordedPayment
from gpurent.domain.time_left import SavedBalance, SavedTimer
from gpurent.infra.sqlite.database import split_statements
from gpurent.infra.sqlite.schema import MIGRATIONS, SQL_FUNCTIONS
from gpurent.infra.sqlite.store import SqliteStore

AT = datetime(2026, 11, 29, 14, 30, tzinfo=UTC)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
DBC, CHAIN = Currency("DBC", 8), Currency("DBC", 15)
MINUTE = timedelta(minutes=1)

Notes = Mapping[tuple[str, str], str]


def write_store(path: Path, notes: Notes, schema: int = 4, steps: Mapping[str, Any] | None = None) -> None:
    """Write what a version with ``schema`` left: notes, and the trip ``t1`` on the lease ``l1`` with recorded steps.

    A step whose value is None was begun and never recorded.
    """
    spec, begun = ("want", "begun_at") if schema < 3 else ("spec", "begun_at" if schema < 4 else "started_at")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for function in SQL_FUNCTIONS:
            db.create_function(function.__name__, 1, function)
        for (script,) in MIGRATIONS[:schema]:
            assert isinstance(script, str)
            for statement in split_statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version={schema}")
        db.executemany("INSERT INTO notes VALUES (?, ?, ?)", [(*name, text) for name, text in notes.items()])
        if steps is not None:
            db.execute(
                f"INSERT INTO trips (id, kind, {spec}, lease, {begun}) VALUES ('t1', 'run', ?, 'l1', ?)",  # noqa: S608
                (json.dumps({"provider": "1024gpu"}), AT.isoformat()),
            )
            for minute, (name, value) in enumerate(steps.items()):
                times = [(AT + part * MINUTE).isoformat() for part in (minute, minute + 1)]
                row = (name, times[0], times[1] if value else None, json.dumps(value) if value else None)
                db.execute("INSERT INTO steps VALUES ('t1', ?, ?, ?, ?)", row)


def open_store(path: Path) -> closing[SqliteStore]:
    return closing(SqliteStore(path, lambda: NOW))


def make_money(money: Money) -> dict[str, Any]:
    return {
        "amount": money.amount,
        "currency": {"code": money.currency.code, "exponent": money.currency.exponent},
    }


def make_bill(key: str, money: Money, purpose: str = "rent") -> dict[str, Any]:
    return {
        "key": key,
        "payee": "p",
        "amount": make_money(money),
        "purpose": purpose,
        "memo": "",
        "due": None,
    }


def make_payment(key: str, money: Money, fee: Money | None = None) -> dict[str, Any]:
    return {
        "key": key,
        "proof": f"proof-of-{key}",
        "amount": make_money(money),
        "at": AT.isoformat(),
        "fee": make_money(fee) if fee is not None else None,
    }


# each scope of notes


@pytest.mark.parametrize(
    ("schema", "notes"),
    [
        (
            2,
            {
                ("timer", "l1"): AT.isoformat(),
                ("timer", "l2"): (AT + MINUTE).isoformat(),
                ("timer-by-policy", "l2"): "yes",
                ("timer", "l3"): "",
                ("warn", "l1"): "300 900",
                ("warn", "l2"): "",
                ("balance-seen", "dbc"): json.dumps(
                    {"amount": 7 * 10**30, "code": "DBC", "exponent": 15, "at": AT.isoformat()}
                ),
                ("guard", "saved/l1"): AT.isoformat(),
                ("guard", "memory/l1"): json.dumps(
                    {"at": AT.isoformat(), "ticks": [5, 9], "wrote": 17, "output_at": None, "idle_since": None,
                     "said": {"budget": AT.isoformat()}}
                ),
                ("dbc", "sent/k"): '{"body": "00", "landed": null, "lapsed": false}',
            },
        ),
        (
            4,
            {
                ("timer", "l1"): AT.isoformat(),
                ("timer", "l2"): (AT + MINUTE).isoformat(),
                ("timer-by-policy", "l1"): "",
                ("timer-by-policy", "l2"): "yes",
                ("timer", "l3"): "",
                ("timer-by-policy", "l3"): "",
                ("passed-thresholds", "l1"): "300 900",
                ("passed-thresholds", "l2"): "",
                ("last-balance", "dbc"): json.dumps(
                    {"amount": 7 * 10**30, "code": "DBC", "exponent": 15, "at": AT.isoformat()}
                ),
                ("guard", "results-saved/l1"): AT.isoformat(),
                ("guard", "memory/l1"): json.dumps(
                    {"at": AT.isoformat(), "ticks": [5, 9], "last_write": 17, "output_at": None,
                     "idle_since": None, "warned_at": {"budget": AT.isoformat()}}
                ),
                ("dbc", "extrinsic/k"): '{"body": "00", "expired": false, "included": null}',
            },
        ),
    ],
    ids=["schema2", "schema4"],
)  # fmt: skip
async def test_notes_about_leases_accounts_and_plugins(tmp_path: Path, schema: int, notes: Notes) -> None:
    path = tmp_path / "journal.sqlite"
    write_store(path, notes, schema)
    with open_store(path) as store:
        assert await store.find_machine_timer("l1") == SavedTimer(until=AT)
        assert await store.find_machine_timer("l2") == SavedTimer(until=AT + MINUTE, by_policy=True)
        assert await store.find_machine_timer("l3") is None
        assert await store.find_last_balance("dbc", "any") is None, "whose it was is not known"
        assert await store.find_last_balance("dbc", "") == SavedBalance(
            billing="dbc", money=Money(7 * 10**30, CHAIN), at=AT
        )
        assert await store.find_results_save_time("l1") == AT
        assert await store.find_guard_memory("l1") == GuardMemory(
            observed_at=AT, ticks=(5, 9), last_write=17, warned_at={"budget": AT}
        )
        passed = [5 * MINUTE, 15 * MINUTE, 60 * MINUTE]
        assert await store.swap_passed_thresholds("l1", passed) == {60 * MINUTE}, "the others were told"
        assert await store.swap_passed_thresholds("l2", passed[:1]) == {5 * MINUTE}
        text = await store.find_plugin_text("dbc", "extrinsic/k")
        assert json.loads(text or "") == {"body": "00", "expired": False, "included": None}
    with (
        closing(sqlite3.connect(path)) as db,
        pytest.raises(sqlite3.OperationalError, match="this_journal_needs_a_newer_gpurent"),
    ):
        db.execute("SELECT * FROM notes")


async def test_notes_of_the_months_before(tmp_path: Path) -> None:
    """What was kept as notes only after the schema of these notes was made."""
    path = tmp_path / "journal.sqlite"
    lost = Orphan(kind=OrphanKind.LOST_LEASE, provider="1024gpu", ref="a/b")
    write_store(
        path,
        {
            ("meter-read-at", "l1"): AT.isoformat(),
            ("mail-binding", "1024gpu/me@example.org"): "t1-bind",
            ("mail-binding", "1024gpu/other@example.org"): "",
            ("orphans", "searched-at"): AT.isoformat(),
            ("orphans", lost.key): AT.isoformat(),
        },
    )
    with open_store(path) as store:
        assert await store.find_meter_read_time("l1") == AT
        assert await store.find_orphan_search_time() == AT
        assert not await store.put_orphan_report(lost, "me"), "it was reported"
        assert await store.claim_binding_key("1024gpu", "me", "me@example.org", "new") == "t1-bind", (
            "not paid twice"
        )
        assert await store.claim_binding_key("1024gpu", "me", "other@example.org", "new") == "new"


# payments


async def test_payments_and_authorized_bills_of_each_kind(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    fee, rent, renewal = Money(93790000, DBC), Money(4 * 10**30 + 1, CHAIN), Money(198556648462, DBC)
    write_store(
        path,
        {
            ("authorized-bills", "bind"): str(fee),
            ("authorized-bills", "main"): str(rent),
            ("authorized-bills", "more"): str(renewal),
            ("authorized-bills", "changed"): "1.00 CNY",
        },
        steps={
            "bind-mail.request": {
                "email": "me@example.org",
                "bill": make_bill("bind", fee, "fee"),
                "done": False,
            },
            "bind-mail.pay": make_payment("bind", fee),
            "bind-mail": "me@example.org",
            "leg0.bill": make_bill("main", rent),
            "leg0.pay": make_payment("main", rent, Money(12, CHAIN)),
            "leg0.confirm": "provisioning",
            "leg1.bill": make_bill("more", renewal, "renewal"),
            "leg1.pay": None,
            "leg2.bill": make_bill("changed", CNY.money("2.00")),
            "leg3.bill": make_bill("nothing", CNY.zero),
            "leg3.pay": make_payment("nothing", CNY.zero),
        },
    )
    with open_store(path) as store:
        paid, main = await store.list_trip_payments("t1")
        assert paid == RecordedPayment(
            key="bind",
            trip="t1",
            provider="1024gpu",
            amount=fee,
            purpose=PaymentPurpose.FEE,
            authorized_at=AT + MINUTE,
            payee="p",
            payment=Payment(key="bind", proof="proof-of-bind", amount=fee, at=AT),
            confirmed_at=AT + 3 * MINUTE,
        )
        assert (main.lease, main.purpose, main.amount) == ("l1", PaymentPurpose.RENT, rent)
        assert main.payment == Payment(
            key="main", proof="proof-of-main", amount=rent, at=AT, fee=Money(12, CHAIN)
        )
        assert main.confirmed_at == AT + 6 * MINUTE
        assert await store.list_lease_payments("l1") == [paid, main]
        open_bill = await store.find_authorized_bill("more")
        assert open_bill == AuthorizedBill(
            key="more", trip="t1", lease="l1", provider="1024gpu", amount=renewal,
            purpose=PaymentPurpose.RENEWAL, authorized_at=AT + 7 * MINUTE, payee="p",
        )  # fmt: skip
        assert await store.find_recorded_payment("more") is None
        assert [await store.find_authorized_bill(key) for key in ("changed", "nothing")] == [None, None]
        assert await store.summaries.list_unbooked_trips() == ["t1"]
        assert await store.summaries.list_fee_payments("1024gpu") == [("t1", "proof-of-bind")]


async def test_a_bill_that_only_its_lease_has(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    deposit = Money(6000029940000, DBC)
    write_store(path, {("authorized-bills", "t9-stage"): "60,000.2994 DBC"}, steps={})
    lease = {"bills": [make_bill("t9-stage", deposit, "deposit"), make_bill("t9-other", deposit)]}
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO leases VALUES ('l9', '1024gpu', 'payable', ?, ?)",
            (json.dumps(lease), AT.isoformat()),
        )
    with open_store(path) as store:
        assert await store.find_authorized_bill("t9-stage") == AuthorizedBill(
            key="t9-stage", trip="t9", lease="l9", provider="1024gpu", amount=deposit,
            purpose=PaymentPurpose.DEPOSIT, authorized_at=AT, payee="p",
        )  # fmt: skip
        assert await store.find_authorized_bill("t9-other") is None, "nobody authorized it"

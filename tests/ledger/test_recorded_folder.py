"""A data folder of an older release: nothing in it is lost, and what was begun can be finished."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.lease import LeaseState
from gpurent.domain.ledger import LedgerAccount, group_lines, make_transaction, sum_balances
from gpurent.domain.money import CNY, Currency, Money
from gpurent.domain.offer import Bill, Metered, Offer, Order, OrderKind, Payment, PaymentPurpose, Requirements
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.trip import (
    JobSpec,
    OnError,
    ResultsSpec,
    SetupSpec,
    TripLimits,
    TripPlan,
    TripSpec,
    UploadSpec,
)
from gpurent.infra.clock import WallClock
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.sqlite.codec import dumps
from gpurent.infra.sqlite.schema import SCHEMA_VERSION
from gpurent.infra.sqlite.standard_words import rename_words
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.infra.vault.access import VaultAccess
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.events import EventEmitter
from tests.ledger.data_folder import copy_data_folder

RECORDED = Path(__file__).with_name("recorded")
DBC = Currency("DBC", 8)
PROJECT, RESULTS = "/tmp/gpurent-recorded/project", "/tmp/gpurent-recorded/home"
DETACHED, RENEWAL, STAGED = "t1129-fzf9h", "t1129-jutfg", "t1129-np7am"
# The columns in which nothing was renamed.
UNCHANGED = {
    "steps": "trip, begun_at, done_at",
    "trips": "id, kind, lease, begun_at, ended_at",
    "leases": "id, provider, state, changed_at",
    "entries": "id, at, provider, ref, part, reversal, growing, lease, trip, gpu, rate, entered_at",
    "postings": "entry, line, currency, exponent, amount",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return copy_data_folder(RECORDED, tmp_path / "home")


def read_rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def contains_old(found: Any, old: Any) -> bool:
    """Return whether ``found`` has everything in the old JSON; it may have new fields."""
    if isinstance(old, dict):
        return isinstance(found, dict) and all(contains_old(found.get(name), old[name]) for name in old)
    if isinstance(old, list) and isinstance(found, list) and len(old) == len(found):
        return all(map(contains_old, found, old))
    return bool(found == old)


def test_the_backup_is_the_file_as_it_was(home: Path, store: SqliteStore) -> None:
    store.close()
    backup = home / "journal.sqlite.schema2"
    assert read_rows(backup, "PRAGMA integrity_check") == [("ok",)]
    assert read_rows(home / "journal.sqlite", "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert backup.stat().st_mode & 0o777 == 0o600
    with (
        closing(sqlite3.connect(backup)) as left,
        closing(sqlite3.connect(RECORDED / "journal.sqlite")) as right,
    ):
        assert list(left.iterdump()) == list(right.iterdump())
    assert read_rows(backup, "PRAGMA user_version") == [(2,)]


def test_rows_that_need_no_new_form_are_the_same(home: Path, store: SqliteStore) -> None:
    for table, columns in UNCHANGED.items():
        sql = f"SELECT {columns} FROM {table} ORDER BY rowid"  # noqa: S608
        if table == "postings":
            sql = f"SELECT {columns} FROM {table} ORDER BY entry, line"  # noqa: S608
        before = read_rows(RECORDED / "journal.sqlite", sql)
        assert before
        new = sql.replace("begun_at", "started_at")
        for old_name, name in (("trips", "trip_records"), ("leases", "lease_records")):
            new = new.replace(f"FROM {old_name} ", f"FROM {name} ")
        assert read_rows(home / "journal.sqlite", new) == before


async def test_every_lease_is_there_with_all_that_was_known(store: SqliteStore) -> None:
    old = dict(read_rows(RECORDED / "journal.sqlite", "SELECT id, value FROM leases"))
    assert {lease.id for lease in await store.list_leases()} == set(old)
    for lease in await store.list_leases():
        assert contains_old(json.loads(dumps(lease)), json.loads(rename_words(old[lease.id]))), lease.id
    assert {lease.id: lease.state for lease in await store.list_open_leases()} == {
        "mistgpu-wk7tn": LeaseState.READY,
        "mistgpu-fzf9h": LeaseState.READY,
        "1024gpu-kaaq5": LeaseState.READY,
        "mistgpu-uyk9r": LeaseState.READY,
        "1024gpu-np7am": LeaseState.PAYABLE,
    }
    by_hand = await store.find_lease("mistgpu-uyk9r")
    assert by_hand is not None
    assert by_hand.declared is not None
    assert isinstance(by_hand.declared.tariff, Metered)
    assert by_hand.declared.tariff.price.value == Decimal("3.5")
    assert by_hand.declared.balance == CNY.money("40")
    assert by_hand.machine_facts is not None
    assert by_hand.machine_facts.system == "Debian GNU/Linux 12 (bookworm)"
    renewed = await store.find_lease("1024gpu-kaaq5")
    assert renewed is not None
    assert renewed.pending is not None
    assert (renewed.pending.kind, renewed.pending.paid) == (OrderKind.RENEW, False)
    changed = renewed.with_state(LeaseState.RELEASING)
    assert await store.swap_lease(renewed, changed), "an older value is recognised and moved"
    assert await store.find_lease(renewed.id) == changed


async def test_trips_have_their_specs_in_the_new_form(store: SqliteStore) -> None:
    assert [(trip.id, trip.kind, trip.outcome_text) for trip in await store.list_trips()] == [
        ("t1129-ahkqm", "run", "done"),
        ("t1129-wk7tn", "rent", "done"),
        (DETACHED, "run", ""),
        ("t1129-kaaq5", "rent", "done"),
        (RENEWAL, "renew", ""),
        (STAGED, "run", ""),
    ]
    specs = {trip.id: trip.spec for trip in await store.list_trips()}
    assert specs["t1129-wk7tn"] == TripSpec(
        provider="mistgpu", rent_only=True, limits=TripLimits(idle=timedelta(hours=1))
    )
    assert specs[RENEWAL] == TripSpec(provider="1024gpu")
    assert specs[DETACHED] == TripSpec(
        provider="mistgpu",
        upload=UploadSpec(folder=PROJECT, include=("long.py", "native")),
        job=JobSpec(command=("long.py",), setup=SetupSpec(commands=("echo ready",))),
        results=ResultsSpec(paths=("out",), dir=RESULTS, every=timedelta(minutes=30)),
        limits=TripLimits(
            deadline_in=timedelta(days=3), after_job=timedelta(minutes=30), keep=True, on_error=OnError.KEEP
        ),
        notify=("failed",),
    )
    assert specs[STAGED] == TripSpec(
        requirements=Requirements(gpu="1080Ti", gpus=1, memory=1, disk=5),
        upload=UploadSpec(
            folder=PROJECT,
            include=("train.py", "native", "requirements.txt"),
            transfer="sftp",
            staged=True,
        ),
        job=JobSpec(
            command=("train.py", "--epochs", "8"),
            name="digits",
            session="tmux",
            launcher="plain",
            setup=SetupSpec(requirements="requirements.txt", commands=("make -C native",), needs=("native",)),
        ),
        results=ResultsSpec(paths=("out",), dir=RESULTS, every=timedelta(minutes=10)),
        limits=TripLimits(
            term=timedelta(days=1),
            budget=Money(200_000 * 10**8, DBC),
            deadline_in=timedelta(hours=20),
            idle=timedelta(hours=1),
            idle_load=7,
            after_job=timedelta(minutes=30),
            timer=timedelta(hours=4),
            save_before=timedelta(minutes=20),
        ),
        provider="1024gpu",
        providers=("1024gpu",),
        doctor="warn",
        notify=("job-ended", "failed"),
    )


async def test_a_staged_trip_goes_on_where_its_process_died(store: SqliteStore) -> None:
    plan = await store.find_step_value(STAGED, "plan", TripPlan)
    assert plan is not None
    assert [(leg.upload, leg.job, leg.order.kind) for leg in plan.legs] == [
        (True, False, OrderKind.NEW),
        (False, True, OrderKind.SWITCH),
    ]
    offer = await store.find_step_value(STAGED, "select-offer", Offer)
    assert offer == plan.offer
    funding = await store.find_step_value(STAGED, "check-funds", Funding)
    assert funding is not None
    assert funding.budget == Money(200_000 * 10**8, DBC)
    bill = await store.find_step_value(STAGED, "leg0.bill", Bill)
    lease = await store.find_lease(f"1024gpu-{STAGED.partition('-')[2]}")
    assert lease is not None
    assert lease.pending is not None
    assert lease.pending.bill == bill is not None
    assert await store.find_step_value(STAGED, "leg0.pay", Payment) is None
    steps = {step.name: step.done_at for step in await store.list_steps(STAGED)}
    assert [name for name, done in steps.items() if done is None] == ["leg0.pay"]
    noted = await store.find_plugin_text("1024gpu", f"order/{STAGED}-stage")
    assert json.loads(noted or "")["ref"] == lease.pending.ref


async def test_an_unfinished_renewal_keeps_its_order_and_its_bill(store: SqliteStore) -> None:
    order = await store.find_step_value(RENEWAL, "order", Order)
    assert order is not None
    assert (order.kind, order.term, order.onto) == (
        OrderKind.RENEW,
        timedelta(days=1),
        "1ad3e5fd33c01d066e50b534",
    )
    bills = await store.list_recorded_steps(RENEWAL, ".bill", Bill)
    assert [(name, bill.amount) for name, bill in bills] == [("leg0.bill", Money(198556648462, DBC))]
    assert await store.find_step_value(RENEWAL, "leg0.pay", Payment) is None
    lease = await store.find_lease("1024gpu-kaaq5")
    assert lease is not None
    opened = await store.find_open_order(lease.id)
    assert opened is not None
    assert (opened.key, opened.trip, opened.kind) == (f"{RENEWAL}-renew", RENEWAL, OrderKind.RENEW)
    assert opened.key not in lease.completed_orders
    assert lease.completed_orders, "the order that rented it was counted"
    assert lease.pending is not None
    assert lease.pending.sent_at is not None, "a request may have been sent"


async def test_payments_are_found_by_their_key(store: SqliteStore) -> None:
    fee = await store.find_recorded_payment("t1129-kaaq5-bind")
    rent = await store.find_recorded_payment("t1129-kaaq5-main")
    assert fee is not None
    assert (fee.lease, fee.purpose, fee.payment.amount) == ("", PaymentPurpose.FEE, Money(93790000, DBC))
    assert rent is not None
    assert (rent.lease, rent.purpose) == ("1024gpu-kaaq5", PaymentPurpose.RENT)
    assert rent.payment == await store.find_step_value(rent.trip, "leg0.pay", Payment)
    for trip, key, amount in (
        (RENEWAL, f"{RENEWAL}-renew", Money(198556648462, DBC)),
        (STAGED, f"{STAGED}-stage", Money(6000029940000, DBC)),
    ):
        bill = await store.find_authorized_bill(key)
        assert bill is not None, "the account may have been asked to pay it"
        assert (bill.trip, bill.amount) == (trip, amount)
        assert await store.find_recorded_payment(key) is None
    assert await store.summaries.list_unbooked_trips() == []
    assert await store.summaries.list_fee_payments("1024gpu") == [(fee.trip, fee.payment.proof)]


async def test_recorded_steps_are_not_done_again(store: SqliteStore) -> None:
    trip = TripContext(store, EventEmitter(WallClock()), STAGED)

    async def never() -> str:
        raise AssertionError("it was done")

    assert await trip.step("leg0.reserve", str, never) == "1024gpu-np7am"


async def test_the_ledger_stays_and_grows(store: SqliteStore) -> None:
    entries = await store.ledger.list_transactions()
    assert len(entries) == 6
    assert await store.ledger.add_transactions(entries) == 0
    wallets = sum_balances(entries)
    assert wallets[LedgerAccount("wallet:mistgpu"), CNY] == CNY.money("299.90")
    assert wallets[LedgerAccount("held:1024gpu"), DBC] == Money(93790000, DBC)
    assert wallets[LedgerAccount("spent:usage"), DBC] == Money(396979846924, DBC)
    (line,) = group_lines(await store.ledger.list_transactions(lease="mistgpu-ahkqm"))
    more = make_transaction(line.charge, "mistgpu", lease="mistgpu-ahkqm")
    assert await store.ledger.add_transactions([more]) == 0, "the same charge"
    assert await store.ledger.list_providers() == ["1024gpu", "mistgpu"]


async def test_questions_have_a_place(store: SqliteStore) -> None:
    await store.put_question(Question(id="q", kind=QuestionKind.SPEND, text="?", trip="t"))
    assert await store.find_answer("q") is None
    await store.put_answer("q", "yes")
    assert await store.find_answer("q") == "yes"


async def test_the_vault_opens_with_its_own_key(home: Path, store: SqliteStore) -> None:
    async def ask(question: Question) -> str | None:
        raise AssertionError(question.text)

    secrets = VaultAccess(home / "vault", {}, ask, make_outside_records(home, {}))
    await secrets.unlock()
    kept = secrets.get_vault("credentials").get("mistgpu")
    assert kept is not None
    assert json.loads(kept.reveal()) == {"username": "student", "password": "student-pass"}
    for auth, account in (("mistgpu", "student"), ("dbc", "AUzAjx3Fb56XfS9UgHypGSXTCRRJXu63mH")):
        login = secrets.get_vault("logins").get(auth)
        assert login is not None
        assert json.loads(login.reveal())["account"] == account
    for lease in await store.list_leases():
        password = secrets.get_vault(lease.provider).get(lease.password_ref)
        assert password is not None, lease.id
        assert password.reveal()

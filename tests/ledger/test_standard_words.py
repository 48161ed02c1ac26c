"""Schema 4: what was stored in the words of before is found in those of version 0.1, and nothing else has changed."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.health import HealthReport
from gpurent.domain.job import JobState
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.ledger import LedgerAccount, sum_balances
from gpurent.domain.money import CNY
from gpurent.domain.offer import Offer
from gpurent.domain.receipt import ChargeKind, Receipt
from gpurent.domain.transfer import TransferReport
from gpurent.domain.trip import TripPlan
from gpurent.infra.sqlite.codec import loads
from gpurent.infra.sqlite.standard_words import convert_note, rename_note, rename_step, rename_words
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.shared_sandbox import CommandLineResult
from gpurent.workflow.connection.jobs import ObservedJob
from gpurent.workflow.guard.saved_state import GuardMemories
from gpurent.workflow.payments.quotes import Funding
from tests.command_line import run_command
from tests.ledger.data_folder import copy_data_folder

RECORDED = Path(__file__).with_name("recorded_schema3")
DONE, OPEN = "t1129-6hy8y", "t1129-gnu4w"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return copy_data_folder(RECORDED, tmp_path / "state")


def run_gpurent(home: Path, *arguments: str) -> CommandLineResult:
    environment = {
        "HOME": str(home),
        "GPURENT_HOME": str(home),
        "GPURENT_LANG": "en",
        "GPURENT_MISTGPU_URL": "http://127.0.0.1:9",
        "GPURENT_MISTGPU_ALLOW_ASSUMED": "yes",
    }
    return run_command(*arguments, environment=environment, folder=home)


async def test_ended_and_open_trips_are_read_with_todays_names(store: SqliteStore) -> None:
    trips = {trip.id: trip for trip in await store.list_trips()}
    assert [trip.outcome_text for trip in trips.values()].count("done") == 2
    assert trips[OPEN].is_open
    assert [step.name for step in await store.list_steps(DONE)] == [
        "login",
        "select-offer",
        "plan",
        "check-funds",
        *(f"leg0.{name}" for name in ("reserve", "bill", "pay", "confirm", "ready", "connect", "doctor")),
        *(f"leg0.{name}" for name in ("upload", "launch", "monitor", "download")),
        "release",
        "receipt",
    ]
    plan = await store.find_step_value(OPEN, "plan", TripPlan)
    assert plan is not None
    assert await store.find_step_value(OPEN, "select-offer", Offer) == plan.offer
    assert plan.offer.available
    assert await store.find_step_value(OPEN, "check-funds", Funding) is not None
    assert await store.find_step_value(OPEN, "leg0.upload", TransferReport) is not None
    job = await store.find_step_value(OPEN, "leg0.launch", ObservedJob)
    assert job is not None
    assert job.status.state is JobState.RUNNING
    health = await store.find_step_value(DONE, "leg0.doctor", HealthReport)
    assert health is not None
    assert any(finding.advice for finding in health.findings)
    receipt = await store.find_step_value(DONE, "receipt", Receipt)
    assert receipt is not None
    assert [charge.kind for charge in receipt.charges] == [ChargeKind.USAGE]


async def test_leases_the_ledger_and_the_guards_memory(store: SqliteStore) -> None:
    leases = {lease.id: lease for lease in await store.list_leases()}
    assert [lease.id for lease in await store.list_open_leases()] == ["mistgpu-z6w2z", "mistgpu-gnu4w"]
    assert leases["mistgpu-gnu4w"].provider_data == {"servers_before": "101 102 103", "image": ""}
    assert leases["mistgpu-6hy8y"].state is LeaseState.KEPT
    balances = sum_balances(await store.ledger.list_transactions())
    assert balances[LedgerAccount("spent:usage"), CNY] == CNY.money("6.77")
    memory = await GuardMemories(store).get_memory("mistgpu-gnu4w")
    assert memory.machine is not None
    assert memory.machine.last_write
    balance = await store.find_last_balance("mistgpu", "")
    assert balance is not None
    assert balance.money == CNY.money("293.34")


def test_the_ledger_is_append_only_again(home: Path, store: SqliteStore) -> None:
    store.close()
    with closing(sqlite3.connect(home / "journal.sqlite")) as database:
        for change in (
            "UPDATE entries SET note = 'x'",
            "UPDATE postings SET amount = '0'",
            "DELETE FROM entries",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(change)


def test_the_commands_work_on_the_migrated_folder(home: Path) -> None:
    leases = json.loads(run_gpurent(home, "ls", "--json").out)["data"]
    assert {lease["id"] for lease in leases} == {"mistgpu-z6w2z", "mistgpu-gnu4w"}
    trips = json.loads(run_gpurent(home, "trips", "--json").out)["data"]
    assert [trip["id"] for trip in trips if not trip["outcome"]] == ["t1129-z6w2z", OPEN]
    receipts = json.loads(run_gpurent(home, "receipts", DONE, "--json").out)["data"]
    assert receipts[0]["receipt"]["charges"][0]["kind"] == "usage"
    # Nobody listens at the provider's address: what was recorded is recalled, nothing is ordered again.
    resumed = json.loads(run_gpurent(home, "--no-input", "resume", OPEN, "--detach", "--json").out)
    assert resumed["data"]["lease"] == "mistgpu-gnu4w"
    assert (home / "journal.sqlite.schema3").stat().st_mode & 0o777 == 0o600


def test_settings_are_renamed_at_the_first_start_and_reported_once(home: Path) -> None:
    first, second = run_gpurent(home, "ls", "--json"), run_gpurent(home, "ls", "--json")
    assert "[guard] look → check_interval" in first.err
    assert str(home / "config.toml.bak-0.1") in first.err
    assert (first.code, second.code, second.err) == (0, 0, "")
    assert [len(json.loads(ran.out)["data"]) for ran in (first, second)] == [2, 2]
    settings = tomllib.loads((home / "config.toml").read_text())
    assert settings["guard"]["mistgpu"] == {"check_interval": "2m"}
    assert settings["notify"] == {"level": "notice", "timeout": 7}
    assert (home / "config.toml.bak-0.1").read_bytes() == (RECORDED / "config.toml").read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("leg12.pull", "leg12.download"),
        ("leg0.needs", "leg0.upload-setup"),
        ("leg0.pay", "leg0.pay"),
        ("bind.pay", "bind-mail.pay"),
        ("by", "deadline"),
        ("mine.push", "mine.push"),
        ("order", "order"),
    ],
)
def test_step_names(old: str, new: str) -> None:
    assert rename_step(old) == new
    assert rename_step(new) == new


def _make_note(name: str, value: Any) -> str:
    return convert_note(json.dumps([name, value if isinstance(value, str) else json.dumps(value)]))


def test_notes_of_plugins() -> None:
    names = ["whose/online:1", "left/k", "book/k", "books", "sent/k", "saved/l", "bill/k", "plain"]
    assert [rename_note(name) for name in names] == [
        "order-key/online:1",
        "abandoned/k",
        "charges/k",
        "charge-keys",
        "extrinsic/k",
        "results-saved/l",
        "bill/k",
        "plain",
    ]
    row = {"ref": "r", "kind": "deposit-back", "units": 5}
    assert json.loads(_make_note("book/k", [row])) == [{**row, "kind": "deposit-refund"}]
    record = {"body": "00", "tries": 1, "lapsed": False, "landed": {"fee": 3}}
    changed = {"body": "00", "tries": 1, "expired": False, "included": {"fee": 3}}
    assert json.loads(_make_note("sent/k", record)) == changed
    assert [_make_note(name, "") for name in ("sent/k", "book/k")] == ["", ""]
    assert _make_note("book/k", "no JSON") == "no JSON"
    assert _make_note("bill/k", '{"landed": "signed"}') == '{"landed": "signed"}', "what was signed stays"


def test_a_lease_that_was_adopted_and_is_being_renewed() -> None:
    offer = {
        "key": "1",
        "provider": "p",
        "hardware": {},
        "tariff": {
            "kind": "metered",
            "price": {"value": "1", "currency": {"code": "CNY", "exponent": 2}, "per": 1},
        },
        "free": False,
        "place": "China",
        "shop": {"cpu": "yes"},
    }
    facts = {"at": "2026-11-29T00:00:00+00:00", "sudo": "free", "pythons": [], "cards": [], "packages": "dnf"}
    old = {
        "id": "p-1",
        "provider": "p",
        "label": "",
        "state": "releasing",
        "offer": offer,
        "shop": {"stop": "page", "stopped-at": "x", "missed": "2", "other": "stays"},
        "found": facts,
        "pending": {"key": "k", "kind": "extend", "ref": "", "bill": None, "paid": True},
    }
    lease = loads(rename_words(json.dumps(old)), Lease)
    assert lease.provider_data == {
        "stop_method": "page",
        "stopped_at": "x",
        "missed_probes": "2",
        "other": "stays",
    }
    assert (lease.offer.available, lease.offer.location) == (False, "China")
    assert lease.offer.provider_data == {"cpu_container": "yes"}
    assert lease.pending is not None
    assert lease.pending.kind.value == "renew"
    assert lease.machine_facts is not None
    assert (lease.machine_facts.sudo, lease.machine_facts.package_manager) == ("passwordless", "dnf")


def test_a_trip_that_reports_only_some_events() -> None:
    old = {"requirements": {}, "upload": {}, "job": {}, "notify": ["line-lost", "saved", "failed"]}
    assert json.loads(rename_words(json.dumps(old)))["notify"] == [
        "connection-lost",
        "results-saved",
        "failed",
    ]

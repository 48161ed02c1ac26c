"""The hash chain: a changed, added or removed entry is found, also in what older versions entered."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from gpurent.domain.ledger import Transaction, make_transaction
from gpurent.domain.ledger_chain import BrokenEntry
from gpurent.domain.money import CNY, Money
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.ledger import SqliteLedger
from gpurent.infra.sqlite.store import SqliteStore
from tests.command_line import run_command
from tests.ledger.data_folder import copy_data_folder

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
RECORDED = Path(__file__).with_name("recorded")


def make_entry(number: int, account: str = "alice", provider: str = "acme") -> Transaction:
    charge = Charge(at=AT, kind=ChargeKind.USAGE, money=Money(number, CNY), ref=f"r{number}", note="注")
    return make_transaction(charge, provider, account=account, lease="l", trip="t", gpu="卡")


def open_ledger(path: Path) -> SqliteLedger:
    return SqliteLedger(Database(path), lambda: AT)


async def find_broken(path: Path) -> BrokenEntry | None:
    store = SqliteStore(path, lambda: AT)
    try:
        return await store.ledger.find_broken_entry()
    finally:
        store.close()


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """Six entries of two accounts and two providers, added in turn."""
    path = tmp_path / "journal.sqlite"
    ledger = open_ledger(path)
    for number in (1, 2, 3):
        assert await ledger.add_transactions([make_entry(number), make_entry(number, "bob")]) == 2
    assert await ledger.add_transactions([make_entry(4, provider="other")]) == 1
    return path


async def test_the_canonical_form_is_as_documented(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as database:
        rows = database.execute("SELECT * FROM entries WHERE account = 'alice' ORDER BY id").fetchall()
    time_text = "2026-03-01T08:00:00.000000+00:00"
    previous = ""
    for number, row in enumerate(rows[:3], 1):
        fields = [time_text, "usage", "acme", "alice", f"r{number}", 0, 0, 0, "l", "t", "卡", "注", None]
        postings = [["wallet:acme", "CNY", 2, f"-{number}"], ["spent:usage", "CNY", 2, f"{number}"]]
        text = json.dumps(
            [previous, [*fields, time_text], postings], ensure_ascii=False, separators=(",", ":")
        )
        previous = sha256(text.encode()).hexdigest()
        assert row[-1] == previous
    assert await find_broken(journal) is None


TAMPERING = {
    "an amount": ("UPDATE postings SET amount = '9' WHERE entry = 3 AND line = 0", 3),
    "a time": ("UPDATE entries SET at = '2026-03-02T08:00:00.000000+00:00' WHERE id = 5", 5),
    "an account": ("UPDATE entries SET account = 'carol' WHERE id = 1", 1),
    "a link": ("UPDATE entries SET chain = 'x' WHERE id = 4", 4),
    "a posting removed": ("DELETE FROM postings WHERE entry = 2 AND line = 1", 2),
    "an entry removed": ("DELETE FROM entries WHERE id = 3", 4),  # the fourth of the rest: alice's last
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_what_was_changed_behind_our_back_is_found(journal: Path, what: str) -> None:
    statement, number = TAMPERING[what]
    with closing(sqlite3.connect(journal)) as database, database:
        for trigger in ("entries_stay", "entries_keep", "postings_stay", "postings_keep"):
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(statement)
    found = await find_broken(journal)
    assert found is not None
    assert found.number == number


async def test_a_backup_is_shorter_and_valid(journal: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.sqlite"
    shutil.copyfile(journal, backup)
    await open_ledger(journal).add_transactions([make_entry(5)])
    assert await find_broken(backup) is None
    assert await open_ledger(backup).add_transactions([make_entry(6)]) == 1
    assert await find_broken(backup) is None


async def test_entries_of_two_accounts_are_two_and_an_unknown_account_may_be_any(journal: Path) -> None:
    ledger = open_ledger(journal)
    assert await ledger.add_payments([[make_entry(1, "alice"), make_entry(8, "alice")]]) == 0, (
        "it has the first's ref"
    )
    assert await ledger.add_payments([[make_entry(9, "alice")], [make_entry(9, "carol")]]) == 2
    assert await ledger.add_transactions([make_entry(1, "carol"), make_entry(1, "")]) == 1
    assert await ledger.add_transactions([make_entry(7, "")]) == 1
    assert await ledger.add_transactions([make_entry(7, "alice")]) == 0, (
        "what older versions entered is not repeated"
    )
    found = await ledger.list_transactions(provider="acme", account="alice")
    assert {entry.account for entry in found} == {"alice", ""}


async def test_what_older_versions_entered_is_chained_in_the_order_of_entry(tmp_path: Path) -> None:
    home = copy_data_folder(RECORDED, tmp_path / "home")
    assert await find_broken(home / "journal.sqlite") is None
    with closing(sqlite3.connect(home / "journal.sqlite")) as database:
        links = database.execute("SELECT account, chain FROM entries ORDER BY id").fetchall()
    assert len(links) > 3
    assert {account for account, _chain in links} == {""}
    assert all(len(chain) == 64 for _account, chain in links)


def test_reconcile_reports_the_damage_in_both_languages(journal: Path, tmp_path: Path) -> None:
    state = tmp_path / "user" / "state"
    state.mkdir(parents=True, mode=0o700)
    shutil.copyfile(journal, state / "journal.sqlite")
    environment = {"PATH": os.environ["PATH"], "HOME": str(state.parent), "GPURENT_HOME": str(state)}
    sound = run_command("reconcile", "--json", environment=environment, folder=tmp_path)
    assert "damaged" not in [item["difference"] for item in sound.data["findings"]]
    with closing(sqlite3.connect(state / "journal.sqlite")) as database, database:
        database.execute("DROP TRIGGER postings_stay")
        database.execute("UPDATE postings SET amount = '9' WHERE entry = 3 AND line = 0")
    for language, words in (("en", "the ledger is damaged: entry 3"), ("zh", "账本已损坏")):
        found = run_command(
            "--lang", language, "reconcile", "--enter", environment=environment, folder=tmp_path
        )
        assert found.code == 5
        assert words in found.out


async def test_a_hundred_thousand_entries_are_checked_within_seconds(tmp_path: Path) -> None:
    database = Database(tmp_path / "journal.sqlite")
    ledger = SqliteLedger(database, lambda: AT)
    await ledger.add_transactions([make_entry(number) for number in range(1, 2_001)])
    begun = time.process_time()
    assert await ledger.find_broken_entry() is None
    assert (time.process_time() - begun) * 50 < 4, "100,000 entries: about 1 s on a computer of 2023"

"""The ledger is altered behind gpurent's back, with the triggers dropped: `reconcile` and `costs` say so."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import frozen

from gpurent.domain.ledger import Transaction, make_transaction
from gpurent.domain.money import CNY, Money
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.ledger_chain_rows import chain_entries
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.shared_sandbox import CommandLineResult
from gpurent.workflow.payments.ledger_heads import LedgerHeads
from tests.command_line import run_command
from tests.security.attacks import Adversary, Outcome, attack

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
TRIGGERS = (
    "entries_stay",
    "entries_keep",
    "entries_once",
    "entries_whole",
    "postings_stay",
    "postings_keep",
    "postings_closed",
)
Change = Callable[[sqlite3.Connection], object]


def make_entry(number: int, account: str) -> Transaction:
    charge = Charge(at=AT, kind=ChargeKind.USAGE, money=Money(number, CNY), ref=f"{account}{number}", note="")
    return make_transaction(charge, "acme", account=account, lease="l", trip="t", gpu="RTX")


@frozen
class Books:
    """A data folder with a ledger of two accounts, three entries each."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def journal(self) -> Path:
        return self.home / "journal.sqlite"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GPURENT_HOME": str(self.home),
            "GPURENT_STATE_HOME": str(self.root / "outside"),
        }

    async def enter(self, *entries: Transaction) -> None:
        """Enter as the bookkeeping does, which records what is the newest entry then."""
        store = SqliteStore(self.journal, lambda: AT)
        try:
            await store.ledger.add_transactions(entries)
            await LedgerHeads(store, make_outside_records(self.home, self.environment)).record_heads()
        finally:
            store.close()

    def alter(self, change: Change) -> None:
        """Change the journal as somebody does who drops its triggers first."""
        with closing(sqlite3.connect(self.journal)) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            with database:
                for trigger in TRIGGERS:
                    database.execute(f"DROP TRIGGER {trigger}")
                change(database)

    def compute_chain_anew(self) -> None:
        """Write links that match what is there now, with gpurent's own code."""
        database = Database(self.journal)
        with database.write_transaction():
            chain_entries(database)
        database.close()

    def run(self, *arguments: str) -> CommandLineResult:
        return run_command(*arguments, environment=self.environment, folder=self.root)

    def list_damage(self) -> list[str]:
        """Return what `reconcile` says of the ledger itself, after `costs` said as much."""
        result = self.run("reconcile", "--json")
        found = [
            item["difference"]
            for item in result.data["findings"]
            if item["difference"] in ("damaged", "rewritten")
        ]
        assert result.code == 5, "and nobody answers for this provider"
        costs = self.run("costs", "--offline")
        assert costs.code == 0, costs.err
        assert costs.out.count("cannot be believed") == len(found)
        return found


@pytest.fixture
async def books(tmp_path: Path) -> Books:
    made = Books(tmp_path)
    make_private_folder(made.home)
    for number in (1, 2, 3):
        await made.enter(make_entry(number, "alice"), make_entry(number, "bob"))
    assert made.list_damage() == []
    return made


def swap(first: int, second: int) -> Change:
    """Return what exchanges two entries, with their postings."""

    def change(database: sqlite3.Connection) -> None:
        for old, new in ((first, 1000), (second, first), (1000, second)):
            database.execute("UPDATE entries SET id = ? WHERE id = ?", (new, old))
            database.execute("UPDATE postings SET entry = ? WHERE entry = ?", (new, old))

    return change


def drop(condition: str) -> Change:
    """Return what removes entries, with their postings."""

    def change(database: sqlite3.Connection) -> None:
        chosen = f"SELECT id FROM entries WHERE {condition}"  # noqa: S608
        database.execute(f"DELETE FROM postings WHERE entry IN ({chosen})")  # noqa: S608
        database.execute(f"DELETE FROM entries WHERE id IN ({chosen})")  # noqa: S608

    return change


def raise_amount(database: sqlite3.Connection) -> None:
    database.execute("UPDATE postings SET amount = replace(amount, '3', '9') WHERE entry = 5")


def remove_posting(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM postings WHERE entry = 1 AND line = 1")


@attack(Adversary.LOCAL_USER, "an amount in the ledger is altered", Outcome.REPORTED, kind="S13")
def test_an_altered_amount(books: Books) -> None:
    books.alter(raise_amount)
    assert books.list_damage() == ["damaged"]


@attack(Adversary.LOCAL_USER, "one side of an entry in the ledger is removed", Outcome.REPORTED, kind="S13")
def test_a_removed_posting(books: Books) -> None:
    books.alter(remove_posting)
    assert books.list_damage() == ["damaged"]


@attack(Adversary.LOCAL_USER, "an entry in the middle of the ledger is removed", Outcome.REPORTED, kind="S13")
def test_a_removed_entry(books: Books) -> None:
    books.alter(drop("id = 3"))
    assert "damaged" in books.list_damage()


@attack(Adversary.LOCAL_USER, "two entries of an account are exchanged", Outcome.REPORTED, kind="S13")
def test_exchanged_entries(books: Books) -> None:
    books.alter(swap(1, 3))
    assert books.list_damage() == ["damaged"]


@attack(
    Adversary.LOCAL_USER,
    "the newest entries are removed: the chain still matches",
    Outcome.REPORTED,
    kind="S13",
)
def test_a_shorter_ledger(books: Books) -> None:
    books.alter(drop("id >= 5"))
    assert books.list_damage() == ["rewritten", "rewritten"]


@attack(Adversary.LOCAL_USER, "all entries of one account are removed", Outcome.REPORTED, kind="S13")
def test_a_removed_account(books: Books) -> None:
    books.alter(drop("account = 'bob'"))
    assert books.list_damage() == ["rewritten"]


@attack(Adversary.LOCAL_USER, "the ledger is emptied", Outcome.REPORTED, kind="S13")
def test_an_emptied_ledger(books: Books) -> None:
    books.alter(drop("1"))
    assert books.list_damage() == ["rewritten", "rewritten"]


@attack(
    Adversary.LOCAL_USER,
    "an amount is altered and the whole chain computed anew with gpurent's own code",
    Outcome.REPORTED,
    kind="S13",
)
@pytest.mark.parametrize("change", [raise_amount, swap(1, 3), drop("id = 3")])
async def test_a_chain_that_was_computed_anew(books: Books, change: Change) -> None:
    books.alter(change)
    books.compute_chain_anew()
    assert books.list_damage() == ["rewritten"]
    # What is entered later does not hide it.
    await books.enter(make_entry(4, "alice"), make_entry(5, "alice"))
    assert books.list_damage() == ["rewritten"]


@attack(
    Adversary.LOCAL_USER,
    "the chain is computed anew and the record in the data folder deleted",
    Outcome.REPORTED,
    kind="S13",
)
def test_the_record_outside_is_enough(books: Books) -> None:
    books.alter(raise_amount)
    books.compute_chain_anew()
    (books.home / "outside-records.json").unlink()
    assert books.list_damage() == ["rewritten"]


async def test_a_restored_backup_is_told_until_it_is_accepted(books: Books) -> None:
    backup = books.root / "backup.sqlite"
    shutil.copyfile(books.journal, backup)
    await books.enter(make_entry(4, "alice"))
    shutil.copyfile(backup, books.journal)
    told = books.run("reconcile")
    assert "gpurent reconcile --accept" in told.out
    assert books.list_damage() == ["rewritten"]
    assert "--accept" not in books.run("reconcile", "--accept").out
    assert books.list_damage() == []
    await books.enter(make_entry(5, "alice"))
    assert books.list_damage() == []


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"ledger": 7}', b'{"ledger": [7, {"number": "x"}]}'])
async def test_damaged_records_raise_no_alarm_and_are_written_anew(books: Books, damage: bytes) -> None:
    for path in (books.home / "outside-records.json", *books.root.glob("outside/*outside-records.json")):
        path.write_bytes(damage)
    assert books.list_damage() == []
    books.alter(drop("id >= 5"))
    assert books.list_damage() == ["rewritten", "rewritten"]

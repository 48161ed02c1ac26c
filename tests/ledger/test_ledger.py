"""Entries are added once, sum to zero and cannot be changed: enforced by the model and by SQLite itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from gpurent.domain.ledger import (
    LedgerAccount,
    LedgerLine,
    Posting,
    Transaction,
    group_lines,
    make_missing_transactions,
    make_transaction,
    sum_balances,
)
from gpurent.domain.money import CNY, USD, Currency, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind, sum_charges
from gpurent.errors import MoneyError
from gpurent.infra.sqlite.database import Database, split_statements
from gpurent.infra.sqlite.ledger import SqliteLedger
from gpurent.infra.sqlite.older_programs import register_as_newer

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
CHAIN = Currency("DBC", 15)


def make_charge(
    kind: ChargeKind, amount: int, ref: str = "r1", *, growing: bool = False, hours: int = 0
) -> Charge:
    at = AT + timedelta(hours=hours)
    return Charge(at=at, kind=kind, money=Money(amount, CNY), ref=ref, growing=growing)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "journal.sqlite")
    yield made
    made.close()


@pytest.fixture
def ledger(database: Database) -> SqliteLedger:
    return SqliteLedger(database, lambda: AT)


@given(kind=st.sampled_from(ChargeKind), amount=st.integers(1, 10**30))
def test_every_kind_sums_to_zero(kind: ChargeKind, amount: int) -> None:
    entry = make_transaction(Charge(at=AT, kind=kind, money=Money(amount, CHAIN), ref="r"), "acme")
    assert sum(posting.money.amount for posting in entry.postings) == 0
    assert entry.money.amount == amount
    wallet = sum_balances([entry])[LedgerAccount("wallet:acme"), CHAIN].amount
    home = kind in (ChargeKind.REFUND, ChargeKind.DEPOSIT_REFUND, ChargeKind.TOP_UP)
    assert wallet == (amount if home else -amount)


@pytest.mark.parametrize(
    "postings",
    [
        (
            Posting(LedgerAccount("outside"), Money(5, CNY)),
            Posting(LedgerAccount("wallet:x"), Money(-4, CNY)),
        ),
        (
            Posting(LedgerAccount("outside"), Money(5, CNY)),
            Posting(LedgerAccount("wallet:x"), Money(-5, USD)),
        ),
        (Posting(LedgerAccount("outside"), Money(0, CNY)),),
    ],
)
def test_what_does_not_sum_to_zero_is_no_entry(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(MoneyError):
        Transaction(at=AT, kind=ChargeKind.USAGE, provider="x", ref="r", postings=postings)


def test_an_entry_needs_a_zone_and_a_reference() -> None:
    entry = make_transaction(make_charge(ChargeKind.USAGE, 5), "acme")
    with pytest.raises(MoneyError):
        evolve(entry, at=datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(MoneyError):
        evolve(entry, ref="")


async def test_what_was_written_is_read_back(ledger: SqliteLedger) -> None:
    rate = Rate(CHAIN, USD, Decimal("0.002600000000000000001"), AT, "chain")
    money = Money(90_000 * 10**15 + 1, CHAIN)
    charge = Charge(at=AT, kind=ChargeKind.DEPOSIT, money=money, ref="r", note="注", rate=rate)
    entry = make_transaction(charge, "acme", lease="l", trip="t", gpu="卡")
    assert await ledger.add_transactions([entry]) == 1
    assert list(await ledger.list_transactions()) == [entry]


async def test_entry_added_twice_is_stored_once(ledger: SqliteLedger) -> None:
    entry = make_transaction(make_charge(ChargeKind.USAGE, 5), "acme")
    other = make_transaction(make_charge(ChargeKind.REFUND, 5), "acme")
    assert await ledger.add_transactions([entry, entry, other]) == 2
    assert (
        await ledger.add_transactions([entry, make_transaction(make_charge(ChargeKind.USAGE, 9), "acme")])
        == 0
    )
    assert [found.money.amount for found in await ledger.list_transactions()] == [5, 5]
    assert await ledger.add_transactions([make_transaction(make_charge(ChargeKind.USAGE, 5), "another")]) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET note = 'x'",
        "DELETE FROM entries",
        "UPDATE postings SET amount = '0'",
        "DELETE FROM postings",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries",
        "INSERT OR REPLACE INTO postings SELECT entry, line, account, currency, exponent, '1' FROM postings",
        "INSERT INTO postings VALUES (1, 2, 'outside', 'CNY', 2, '5')",
        "INSERT INTO entries SELECT 9, at, kind, '', '', 'r9', 0, 0, 0, '', '', '', '', NULL, at, '' FROM entries",
    ],
)
async def test_sqlite_itself_refuses_changes(
    database: Database, ledger: SqliteLedger, tmp_path: Path, statement: str
) -> None:
    entry = make_transaction(make_charge(ChargeKind.USAGE, 5), "acme")
    await ledger.add_transactions([entry])
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as stranger:
        register_as_newer(stranger)
        with pytest.raises(sqlite3.IntegrityError):
            stranger.execute(statement)
    assert list(await ledger.list_transactions()) == [entry]


def test_a_posting_without_its_entry_is_refused_at_the_commit(
    database: Database, ledger: SqliteLedger
) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.write_transaction():
        database.execute("INSERT INTO postings VALUES (7, 0, 'outside', 'CNY', 2, '5')")
    assert database.fetch_rows("SELECT * FROM postings") == []


async def test_filters(ledger: SqliteLedger) -> None:
    every = [
        make_transaction(make_charge(ChargeKind.USAGE, 1, "a", hours=0), "one", lease="l1", trip="t1"),
        make_transaction(make_charge(ChargeKind.USAGE, 2, "b", hours=1), "one", lease="l2", trip="t1"),
        make_transaction(make_charge(ChargeKind.USAGE, 4, "c", hours=2), "two", lease="l3", trip="t2"),
    ]
    await ledger.add_transactions(every)

    async def found(**which: Any) -> int:
        return sum(entry.money.amount for entry in await ledger.list_transactions(**which))

    assert await found() == 7
    assert await found(provider="one") == 3
    assert await found(lease="l2") == 2
    assert await found(trip="t1", provider="one") == 3
    assert await found(since=AT + timedelta(hours=1)) == 6
    assert await found(until=AT + timedelta(hours=1)) == 1
    assert await found(since=AT + timedelta(hours=1), until=AT + timedelta(hours=2), provider="one") == 2


def lines_by_key(entries: list[Transaction]) -> dict[tuple[str, ChargeKind], LedgerLine]:
    return {line.line_key: line for line in group_lines(entries)}


def test_a_meter_is_entered_by_what_it_added_until_it_stops() -> None:
    transactions: list[Transaction] = []
    for amount, growing, parts in ((5, True, 1), (5, True, 1), (9, True, 2), (9, False, 3), (20, False, 3)):
        transactions += make_missing_transactions(
            make_charge(ChargeKind.USAGE, amount, growing=growing), "acme", lines_by_key(transactions)
        )
        assert len(transactions) == parts, (amount, growing)
    (line,) = group_lines(transactions)
    assert line.money.amount == 9
    assert not line.last.growing


def test_a_hold_is_reversed_when_the_statement_has_it() -> None:
    transactions = make_missing_transactions(make_charge(ChargeKind.HOLD, 7), "acme", {})
    (total,) = sum_charges(line.charge for line in group_lines(transactions))
    assert (total.held.amount, total.spent.amount) == (7, 0)
    for _attempt in range(2):
        transactions += make_missing_transactions(
            make_charge(ChargeKind.USAGE, 7), "acme", lines_by_key(transactions)
        )
        transactions += make_missing_transactions(
            make_charge(ChargeKind.HOLD, 7), "acme", lines_by_key(transactions)
        )
    (total,) = sum_charges(line.charge for line in group_lines(transactions))
    assert (total.held.amount, total.spent.amount) == (0, 7)
    assert sum_balances(transactions)[LedgerAccount("wallet:acme"), CNY].amount == -7


def test_statements_are_split_outside_triggers_only() -> None:
    script = (
        "CREATE TABLE a (b);\nCREATE TRIGGER t BEFORE DELETE ON a BEGIN SELECT 1; SELECT 2; END;\nPRAGMA x;\n"
    )
    assert [text.split()[1] for text in split_statements(script)] == ["TABLE", "TRIGGER", "x;"]

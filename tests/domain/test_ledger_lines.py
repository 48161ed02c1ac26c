"""Transactions say whose money moved and why; lines are their sums, and only grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypedDict

import pytest
from attrs import evolve

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
from gpurent.domain.money import CNY, USD, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import MoneyError

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
WALLET, HELD, OUTSIDE = (LedgerAccount(name) for name in ("wallet:acme", "held:acme", "outside"))
RATE = Rate(USD, CNY, Decimal("7.1"), AT, "bank")


class Whose(TypedDict):
    """What a transaction says beside its charge."""

    account: str
    lease: str
    trip: str
    gpu: str


WHOSE = Whose(account="anna", lease="x-1", trip="t-1", gpu="2080Ti")


def make_charge(kind: ChargeKind = ChargeKind.USAGE, amount: int = 7, *, growing: bool = False) -> Charge:
    return Charge(
        at=AT, kind=kind, money=Money(amount, CNY), ref="r1", note="4 h", rate=RATE, growing=growing
    )


def make_line(kind: ChargeKind = ChargeKind.USAGE, amount: int = 7, *, growing: bool = False) -> LedgerLine:
    (line,) = group_lines([make_transaction(make_charge(kind, amount, growing=growing), "acme", **WHOSE)])
    return line


def lines_by_key(*lines: LedgerLine) -> dict[tuple[str, ChargeKind], LedgerLine]:
    return {line.line_key: line for line in lines}


@pytest.mark.parametrize(
    ("kind", "source", "destination"),
    [
        (ChargeKind.USAGE, WALLET, LedgerAccount("spent:usage")),
        (ChargeKind.RENEWAL, WALLET, LedgerAccount("spent:renewal")),
        (ChargeKind.FEE, WALLET, LedgerAccount("spent:fee")),
        (ChargeKind.REFUND, LedgerAccount("spent:refund"), WALLET),
        (ChargeKind.DEPOSIT, WALLET, HELD),
        (ChargeKind.HOLD, WALLET, HELD),
        (ChargeKind.DEPOSIT_REFUND, HELD, WALLET),
        (ChargeKind.TOP_UP, OUTSIDE, WALLET),
        (ChargeKind.TRANSFER, WALLET, OUTSIDE),
    ],
)
def test_where_money_comes_from_and_goes(
    kind: ChargeKind, source: LedgerAccount, destination: LedgerAccount
) -> None:
    postings = make_transaction(make_charge(kind), "acme").postings
    assert postings == (Posting(source, Money(-7, CNY)), Posting(destination, Money(7, CNY)))


def test_a_transaction_has_everything_that_its_charge_has() -> None:
    entry = make_transaction(make_charge(growing=True), "acme", part=3, **WHOSE)
    assert entry == Transaction(
        at=AT,
        kind=ChargeKind.USAGE,
        provider="acme",
        account="anna",
        ref="r1",
        postings=(
            Posting(WALLET, Money(-7, CNY)),
            Posting(LedgerAccount("spent:usage"), Money(7, CNY)),
        ),
        lease="x-1",
        trip="t-1",
        gpu="2080Ti",
        note="4 h",
        rate=RATE,
        part=3,
        growing=True,
    )
    assert entry.key == ("acme", "anna", "r1", ChargeKind.USAGE, 3)
    bare = make_transaction(make_charge(), "acme")
    assert (bare.account, bare.lease, bare.trip, bare.gpu, bare.part) == ("", "", "", "", 0)


def test_a_transaction_may_have_many_sides_and_currencies() -> None:
    entry = make_transaction(make_charge(), "acme")
    fee = (Posting(WALLET, Money(-2, USD)), Posting(OUTSIDE, Money(1, USD)), Posting(HELD, Money(1, USD)))
    assert len(evolve(entry, postings=entry.postings + fee).postings) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": datetime(2026, 3, 1)}, "r1 has a time without a time zone"),  # noqa: DTZ001
        ({"ref": ""}, "needs a provider and a reference"),
        ({"provider": ""}, "needs a provider and a reference"),
        ({"postings": (Posting(WALLET, CNY.zero),)}, "r1 has only one side"),
        (
            {"postings": (Posting(WALLET, Money(-7, CNY)), Posting(HELD, Money(6, CNY)))},
            "r1 does not balance",
        ),
        (
            {"postings": (Posting(WALLET, Money(-7, CNY)), Posting(HELD, Money(7, USD)))},
            "r1 does not balance",
        ),
        (
            {
                "postings": (
                    Posting(WALLET, CNY.zero),
                    *(Posting(HELD, Money(part, CNY)) for part in (5, -5, 1)),
                )
            },
            "r1 does not balance",
        ),
    ],
)
def test_what_is_no_transaction(changes: dict[str, object], message: str) -> None:
    with pytest.raises(MoneyError, match=message):
        evolve(make_transaction(make_charge(), "acme"), **changes)  # type: ignore[arg-type]


def test_what_a_line_lacks_of_a_charge() -> None:
    line = make_line(growing=True)
    assert line.missing_charge(make_charge(amount=9, growing=True)) == make_charge(amount=2, growing=True)
    assert line.missing_charge(make_charge(amount=9)) == make_charge(amount=2)
    assert line.missing_charge(make_charge(amount=8, growing=True)) == make_charge(amount=1, growing=True)
    assert line.missing_charge(make_charge()) == make_charge(amount=0), "the meter stopped"
    assert line.missing_charge(make_charge(growing=True)) is None
    assert line.missing_charge(make_charge(amount=6)) is None, "a line never shrinks"
    assert line.missing_charge(evolve(make_charge(), money=Money(9, USD))) is None
    assert make_line().missing_charge(make_charge(amount=9)) is None, "it is complete"


def test_a_reversal_takes_back_the_whole_line() -> None:
    first = make_transaction(make_charge(growing=True), "acme", **WHOSE)
    second = evolve(make_transaction(make_charge(amount=5), "acme", part=1, **WHOSE), at=LATER)
    (line,) = group_lines([first, second])
    reversal = line.make_reversal(LATER, "usage")
    assert reversal == evolve(
        second,
        note="usage",
        postings=(Posting(WALLET, Money(12, CNY)), Posting(LedgerAccount("spent:usage"), Money(-12, CNY))),
        part=2,
        reversal=True,
        growing=False,
    )
    assert reversal.money == Money(-12, CNY)
    stopped = make_line(growing=True).make_reversal(LATER, "stopped")
    assert (stopped.at, stopped.growing) == (LATER, False)
    (reversed_line,) = group_lines([first, second, reversal])
    assert reversed_line.money == CNY.zero


def test_lines_are_grouped_by_whose_money_it_is_and_sorted_by_part() -> None:
    charge = make_charge(growing=True)
    parts = [make_transaction(charge, "acme", part=part, account="anna") for part in (1, 0, 2)]
    others = [
        make_transaction(charge, "other", account="anna"),
        make_transaction(charge, "acme", account="ben"),
        make_transaction(evolve(charge, ref="r2"), "acme", account="anna"),
        make_transaction(evolve(charge, kind=ChargeKind.FEE), "acme", account="anna"),
    ]
    lines = group_lines([*parts[:2], *others, parts[2]])
    assert [line.parts for line in lines] == [(parts[1], parts[0], parts[2]), *((other,) for other in others)]
    assert [line.money.amount for line in lines] == [21, 7, 7, 7, 7]
    assert lines[0].charge == evolve(charge, money=Money(21, CNY))
    assert lines[0].line_key == ("r1", ChargeKind.USAGE)


def test_a_charge_that_is_not_known_is_entered_whole() -> None:
    charge = make_charge(growing=True)
    made = make_missing_transactions(charge, "acme", {}, **WHOSE)
    assert made == [make_transaction(charge, "acme", **WHOSE)]
    assert make_missing_transactions(charge, "acme", {}) == [make_transaction(charge, "acme")]


def test_a_line_goes_on_under_the_account_that_it_has() -> None:
    known = lines_by_key(make_line(growing=True))
    more = Whose(account="ben", lease="x-2", trip="t-2", gpu="2080Ti")
    made = make_missing_transactions(make_charge(amount=9), "acme", known, **more)
    assert made == [
        make_transaction(
            make_charge(amount=2),
            "acme",
            part=1,
            **Whose(account="anna", lease="x-2", trip="t-2", gpu="2080Ti"),
        )
    ]
    assert make_missing_transactions(make_charge(), "acme", lines_by_key(make_line()), **more) == []


@pytest.mark.parametrize("kind", [ChargeKind.USAGE, ChargeKind.DEPOSIT])
def test_a_hold_is_reversed_by_whatever_is_entered_under_its_reference(kind: ChargeKind) -> None:
    hold = make_line(ChargeKind.HOLD)
    charge = evolve(make_charge(kind), at=LATER)
    made = make_missing_transactions(charge, "acme", lines_by_key(hold), **WHOSE)
    assert made == [make_transaction(charge, "acme", **WHOSE), hold.make_reversal(AT, kind.value)]
    assert make_missing_transactions(make_charge(ChargeKind.HOLD), "acme", lines_by_key(hold)) == []
    (empty,) = group_lines([*hold.parts, hold.make_reversal(AT, "")])
    assert len(make_missing_transactions(charge, "acme", lines_by_key(empty))) == 1


def test_balances_add_up_by_account_and_currency() -> None:
    entries = [
        make_transaction(make_charge(ChargeKind.TOP_UP, 100), "acme"),
        make_transaction(make_charge(ChargeKind.USAGE, 7), "acme"),
        make_transaction(evolve(make_charge(ChargeKind.FEE), money=Money(3, USD)), "acme"),
    ]
    assert sum_balances(entries) == {
        (OUTSIDE, CNY): Money(-100, CNY),
        (WALLET, CNY): Money(93, CNY),
        (LedgerAccount("spent:usage"), CNY): Money(7, CNY),
        (WALLET, USD): Money(-3, USD),
        (LedgerAccount("spent:fee"), USD): Money(3, USD),
    }
    assert sum_balances([]) == {}

"""Contract tests for the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.domain.ledger import Transaction, make_transaction
from gpurent.domain.money import USD, Currency, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.ports.store import Store
from gpurent.testing.contracts.store.base import MINUTE, START, StoreContract

DBC = Currency("DBC", 15)


def make_entry(
    ref: str, *, account: str = "me", provider: str = "acme", minutes: int = 0, units: int = 1
) -> Transaction:
    charge = Charge(
        at=START + minutes * MINUTE, kind=ChargeKind.USAGE, money=Money(units, DBC), ref=ref, note="注"
    )
    return make_transaction(charge, provider, account=account, lease="l1", trip="t1", gpu="卡")


class LedgerContract(StoreContract):
    """`gpurent.ports.store.LedgerStore`."""

    async def test_entries_come_back_in_the_order_of_entry(self, store: Store, other: Store) -> None:
        rate = Rate(base=DBC, quote=USD, value=Decimal("0.0012"), at=START, source="test")
        entries = [make_entry("r2", minutes=1), evolve(make_entry("r1", units=10**30), rate=rate)]
        assert await store.ledger.add_transactions(entries) == 2
        found = await other.ledger.list_transactions()
        assert list(found) == entries
        assert all(entry.at.utcoffset() is not None for entry in found)
        assert await other.ledger.find_broken_entry() is None

    async def test_spending_of_a_lease_is_summed_by_currency(self, store: Store, other: Store) -> None:
        rent = make_entry("r1", units=10**30)
        refund = make_transaction(
            Charge(at=START, kind=ChargeKind.REFUND, money=Money(10**29, DBC), ref="r2"), "acme", lease="l1"
        )
        held = make_transaction(
            Charge(at=START, kind=ChargeKind.DEPOSIT, money=Money(7, DBC), ref="r3"), "acme", lease="l1"
        )
        dollars = make_transaction(
            Charge(at=START, kind=ChargeKind.FEE, money=USD.money(3), ref="r4"), "acme", lease="l2"
        )
        await store.ledger.add_transactions([rent, refund, held, dollars, evolve(dollars, ref="r5")])
        found = await other.sum_lease_spending(["l1", "l2", "l3"])
        assert found == {"l1": [Money(9 * 10**29, DBC)], "l2": [USD.money(6)]}
        assert await other.sum_lease_spending([]) == {}

    async def test_entries_are_added_once(self, store: Store, other: Store) -> None:
        entry = make_entry("r1")
        assert await store.ledger.add_transactions([entry, entry]) == 1
        assert await other.ledger.add_transactions([entry, make_entry("r1", account="")]) == 0
        assert await other.ledger.add_transactions([make_entry("r1", account="you")]) == 1
        assert await other.ledger.find_broken_entry() is None

    async def test_two_handles_at_once_add_an_entry_once(self, store: Store, other: Store) -> None:
        entries = [make_entry("r1"), make_entry("r2")]
        added = await asyncio.gather(*(one.ledger.add_transactions(entries) for one in (store, other)))
        assert sorted(added) == [0, 2]
        assert await store.ledger.find_broken_entry() is None

    async def test_entries_are_added_together_or_not_at_all(self, store: Store) -> None:
        def fail_halfway() -> Iterator[Transaction]:
            yield make_entry("r1")
            raise RuntimeError("halfway")

        with pytest.raises(RuntimeError, match="halfway"):
            await store.ledger.add_transactions(fail_halfway())
        assert await store.ledger.list_transactions() == []

    async def test_a_payment_with_a_known_ref_is_not_added(self, store: Store) -> None:
        paid = make_entry("r1")
        fee = evolve(paid, kind=ChargeKind.FEE)
        assert await store.ledger.add_transactions([paid]) == 1
        assert await store.ledger.add_payments([[make_entry("r1", account=""), fee]]) == 0
        new = make_entry("r2"), evolve(make_entry("r2"), kind=ChargeKind.FEE)
        assert await store.ledger.add_payments([new, [paid]]) == 2
        assert await store.ledger.add_payments([new]) == 0

    async def test_entries_are_selected(self, store: Store) -> None:
        entries = [
            make_entry("a"),
            make_entry("b", minutes=1, account=""),
            make_entry("c", minutes=2, account="you"),
            evolve(make_entry("d", provider="other"), lease="l2", trip="t2"),
        ]
        await store.ledger.add_transactions(entries)

        async def find(**selection: Any) -> str:
            return "".join(entry.ref for entry in await store.ledger.list_transactions(**selection))

        assert await find(provider="acme") == "abc"
        assert await find(provider="acme", account="me") == "ab"
        assert await find(lease="l2") == await find(trip="t2") == await find(ref="d") == "d"
        assert await find(lease="none") == ""
        between = await store.ledger.list_transactions(since=START + MINUTE, until=START + 2 * MINUTE)
        assert [entry.ref for entry in between] == ["b"]
        assert list(await store.ledger.list_providers()) == ["acme", "other"]

    async def test_the_newest_entries_are_those_of_their_accounts(self, store: Store, other: Store) -> None:
        await store.ledger.add_transactions([make_entry("a"), make_entry("b", account="you")])
        (before,) = [head for head in await store.ledger.list_heads() if head.account == "me"]
        await other.ledger.add_transactions([make_entry("c"), make_entry("d", provider="other")])
        heads = {(head.provider, head.account): head for head in await store.ledger.list_heads()}
        assert {key: head.number for key, head in heads.items()} == {
            ("acme", "me"): 2,
            ("acme", "you"): 1,
            ("other", "me"): 1,
        }
        assert heads["acme", "me"].link != before.link
        assert await other.ledger.find_link("acme", "me", 1) == before.link
        assert await other.ledger.find_link("acme", "me", 2) == heads["acme", "me"].link
        assert await other.ledger.find_link("acme", "me", 3) == ""
        assert await other.ledger.find_link("acme", "nobody", 1) == ""

    async def test_an_empty_ledger(self, store: Store) -> None:
        assert await store.ledger.add_transactions([]) == 0
        assert await store.ledger.add_payments([]) == 0
        assert await store.ledger.list_transactions() == []
        assert await store.ledger.list_providers() == []
        assert await store.ledger.list_heads() == []
        assert await store.ledger.find_broken_entry() is None

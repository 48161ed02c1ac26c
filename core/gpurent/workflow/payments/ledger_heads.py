"""The newest entries of the ledger, recorded outside of the Store: one that was written anew does not have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import asdict, frozen

from gpurent.domain.ledger_chain import LedgerHead
from gpurent.ports.outside_records import OutsideRecords
from gpurent.ports.store import Store

LEDGER_RECORD = "ledger"


@frozen
class LedgerHeads:
    """Compares the ledger with what was recorded of it."""

    store: Store
    records: OutsideRecords

    async def list_lost_heads(self) -> Sequence[LedgerHead]:
        """Return the recorded entries that the ledger does not have: it is shorter, or its chain is another one."""
        recorded = dict.fromkeys(_load_heads(self.records.list_values(LEDGER_RECORD)))
        known = set(await self.store.ledger.list_heads()) if recorded else set[LedgerHead]()
        return [head for head in recorded if head not in known and not await self._has_entry(head)]

    async def record_heads(self) -> None:
        """Record the newest entries. Of an account whose recorded one is lost, that stays until it is accepted."""
        lost = await self.list_lost_heads()
        heads = await self.store.ledger.list_heads()

        def keep_longest(values: Sequence[Any]) -> Any:
            kept = _by_account([*_load_heads(values), *heads])  # another process may have entered more since
            return dump_heads((kept | _by_account(lost)).values())

        self.records.update(LEDGER_RECORD, keep_longest)

    async def accept_ledger(self) -> None:
        """Record the newest entries in place of all that was recorded."""
        heads = await self.store.ledger.list_heads()
        self.records.update(LEDGER_RECORD, lambda _values: dump_heads(heads))

    async def _has_entry(self, head: LedgerHead) -> bool:
        return await self.store.ledger.find_link(head.provider, head.account, head.number) == head.link


def _by_account(heads: Iterable[LedgerHead]) -> dict[tuple[str, str], LedgerHead]:
    """Return the longest of each account."""
    return {(head.provider, head.account): head for head in sorted(heads, key=lambda head: head.number)}


def dump_heads(heads: Iterable[LedgerHead]) -> list[dict[str, Any]]:
    return [asdict(head) for head in sorted(heads, key=lambda head: (head.provider, head.account))]


def _load_heads(values: Sequence[Any]) -> list[LedgerHead]:
    """Return the heads that can be read, from every place; what is damaged counts as lost."""
    found = []
    for item in (item for value in values if isinstance(value, list) for item in value):
        try:
            head = LedgerHead(**item)
            if head.number > 0 and head.provider + head.account + head.link:
                found.append(head)
        except TypeError:
            continue
    return found

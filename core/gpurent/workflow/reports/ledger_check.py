"""Whether the ledger is what gpurent wrote: its hash chain, and the entries that were its newest ones before."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.ledger_chain import BrokenEntry, LedgerHead
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.workflow.payments.ledger_heads import LedgerHeads
from gpurent.workflow.reports.ledger_findings import Difference, LedgerFinding


@frozen
class LedgerCheck:
    store: Store
    heads: LedgerHeads

    async def find_damage(self) -> list[LedgerFinding]:
        """Return the first entry that does not match its hash chain, and what the ledger lacks; empty: it is sound."""
        broken = await self.store.ledger.find_broken_entry()
        found = [_describe_broken(broken)] if broken is not None else []
        found += [_describe_lost(head) for head in await self.heads.list_lost_heads()]
        if not found:
            await self.heads.record_heads()
        return found

    async def accept_ledger(self) -> None:
        """Take the ledger as it is from now on. A broken chain stays one."""
        await self.heads.accept_ledger()


def _describe_broken(broken: BrokenEntry) -> LedgerFinding:
    reason = _("entry {number} of the ledger was changed, or one before it; restore a backup")
    return LedgerFinding(
        provider=broken.provider,
        difference=Difference.DAMAGED,
        ref=broken.ref,
        reason=reason.format(number=broken.number),
    )


def _describe_lost(head: LedgerHead) -> LedgerFinding:
    reason = _(
        "its entry {number} of account {account} is not there any more: "
        "entries were removed or written anew, or a backup was restored"
    )
    return LedgerFinding(
        provider=head.provider,
        difference=Difference.REWRITTEN,
        reason=reason.format(number=head.number, account=head.account or "-"),
    )

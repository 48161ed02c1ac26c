"""What does not add up in the simulator's books, order by order, judged by the ledger's transfers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gpurent.api import Discrepancy, DiscrepancyKind, Money, SupportsAudit, SupportsHiding
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder
from gpurent_plugin_gpu1024.simulator.state import PLATFORM_ADDRESS, Gpu1024State


class Gpu1024Audit(SupportsAudit, SupportsHiding):
    """Compares what each order's own address holds with what it should hold."""

    state: Gpu1024State

    def hide_machines(self, until: datetime) -> None:
        self.state.hidden_until = until

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        async with self.state.lock:
            await self.state.catch_up()
            found = []
            for order in self.state.orders.values():
                if order.address:
                    rows = await self._list_transfers(order.address)
                    excess = _sum_kept(rows, order.address, order.wallet) - self._compute_due(order)
                    kind = DiscrepancyKind.MISSING_REFUND if order.over else DiscrepancyKind.UNUSED_PAYMENT
                    found += _make_discrepancy(kind, order.wallet, order.id, excess)
            for wallet in self.state.bindings:
                await self.state.settle_binding(wallet)
                await self.state.settle_mail_change(wallet)
                rows = await self._list_transfers(wallet)
                due = -sum(
                    entry.amount.amount
                    for entry in self.state.ledger
                    if entry.account == wallet and entry.kind == "binding"
                )
                excess = _sum_kept(rows, PLATFORM_ADDRESS, wallet) - due
                found += _make_discrepancy(DiscrepancyKind.UNUSED_PAYMENT, wallet, "binding", excess)
            return found

    async def _list_transfers(self, address: str) -> list[dict[str, Any]]:
        answer = await self.state.request_ledger("GET", "/transfers", address=address)
        rows: list[dict[str, Any]] = answer["transfers"]
        return rows

    def _compute_due(self, order: ContainerOrder) -> int:
        """Return what the order may keep by now, in 10^-8 DBC."""
        if not order.rented:
            return 0
        if order.over and (order.ended_well or order.mode == "deposit"):
            return order.compute_cost(order.stopped_at or self.state.now)
        return order.total + order.payment_marks_total


def _sum_kept(rows: Sequence[dict[str, Any]], address: str, wallet: str) -> int:
    """Return what ``wallet`` paid to ``address``, less what came back."""
    paid = sum(int(row["amount"]) for row in rows if (row["from"], row["to"]) == (wallet, address))
    returned = sum(int(row["amount"]) for row in rows if (row["from"], row["to"]) == (address, wallet))
    return paid - returned


def _make_discrepancy(kind: DiscrepancyKind, wallet: str, ref: str, excess: int) -> list[Discrepancy]:
    if excess <= 0:
        return []
    return [Discrepancy(kind=kind, account=wallet, ref=ref, amount=Money(excess, wire.DBC))]

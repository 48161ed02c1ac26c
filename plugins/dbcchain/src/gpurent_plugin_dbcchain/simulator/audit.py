"""The simulator's account for automatic tests, and orders that brought their renter nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpurent.api import Discrepancy, DiscrepancyKind, Money, SupportsAudit, SupportsFunding
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET
from gpurent_plugin_dbcchain.keys import ss58_decode
from gpurent_plugin_dbcchain.simulator.chain import SimulatedChain
from gpurent_plugin_dbcchain.simulator.client_node import ClientNodeServer
from gpurent_plugin_dbcchain.simulator.pallets import UNIT

TEST_MONEY = 1_000_000 * UNIT


class DbcChainAudit(SupportsFunding, SupportsAudit):
    """Finds prepaid rents without a machine, and machines on two orders for one label."""

    chain: SimulatedChain
    client_node: ClientNodeServer

    def get_login_fields(self) -> Mapping[str, str]:
        return {}

    async def add_money(self, account: str) -> Money:
        async with self.chain.lock:
            self.chain.catch_up()
            public = ss58_decode(account)
            self.chain.state.account(public).free += TEST_MONEY
            self.chain.add_ledger_entry(self.chain.newest_block, public, "bought", TEST_MONEY, "faucet")
            self.chain.history.seal_block(self.chain.newest_block)
        return Money(TEST_MONEY, wire.DBC)

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        async with self.chain.lock:
            self.chain.catch_up()
            await self.client_node.catch_up()
            labels_by_order = self.client_node.labels_by_order
            seen: set[str] = set()
            found = []
            for entry in self.chain.entries:
                # What the other registry keeps, it takes for time that has passed.
                if entry.kind != "rent" or not entry.ref.startswith(f"{RENT_PALLET.rpc_prefix}:"):
                    continue
                labels = labels_by_order.get(entry.ref, set())
                kind = DiscrepancyKind.DOUBLE_ORDER if labels & seen else None
                if not labels:
                    kind = DiscrepancyKind.UNUSED_PAYMENT
                seen |= labels
                if kind is not None:
                    amount = Money(-entry.amount.amount, wire.DBC)
                    found.append(Discrepancy(kind=kind, account=entry.account, ref=entry.ref, amount=amount))
            return found

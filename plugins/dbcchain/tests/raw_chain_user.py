"""A user of the simulated chain who signs calls without the wallet."""

from __future__ import annotations

from typing import Any

from gpurent_plugin_dbcchain import extrinsic
from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET, Era, Pallet, RuntimeCall, find_failure
from plugins.dbcchain.tests.chain_harness import ChainHarness, ChainUser


class RawChainUser:
    """Signs calls and reads the chain's results without any code of the wallet."""

    def __init__(self, harness: ChainHarness, user: ChainUser) -> None:
        self.harness, self.user, self.chain, self.keypair = harness, user, harness.chain, user.keypair

    def sign_call(self, call: RuntimeCall, **changes: Any) -> bytes:
        block = changes.pop("birth", self.chain.final_block)
        era = Era(birth=block, birth_hash=bytes.fromhex(self.chain.history.get_block_hash(block)[2:]))
        nonce = changes.pop("nonce", self.chain.get_next_nonce(self.keypair.public))
        identity = changes.pop("place", self.chain.get_identity())
        return extrinsic.build_extrinsic(
            changes.pop("pair", self.keypair), call.encode(), identity, era, nonce
        )

    async def submit_extrinsic(self, body: bytes) -> Any:
        answer = await self.harness.call_rpc("author_submitExtrinsic", "0x" + body.hex())
        return answer.get("error", answer.get("result"))

    async def run_call(self, call: RuntimeCall) -> str:
        """Run ``call`` in the next block and return the error's name; empty on success."""
        body = self.sign_call(call)
        answer = await self.submit_extrinsic(body)
        assert isinstance(answer, str), answer
        await self.harness.advance(seconds=6)
        block = self.chain.newest_block
        listed = self.chain.list_extrinsics(block)
        return find_failure(self.chain.history.events[block], listed.index(body))

    def find_machine_id(self, pallet: Pallet = RENT_PALLET, gpus: int = 1) -> str:
        hosts = self.chain.state.hosts.values()
        return next(h.id for h in hosts if h.pallet == pallet and h.gpus >= gpus)

    def make_rent_call(
        self, blocks: int = 600, gpus: int = 1, pallet: Pallet = RENT_PALLET, machine: str = ""
    ) -> RuntimeCall:
        machine = machine or self.find_machine_id(pallet, gpus)
        return RuntimeCall(pallet=pallet, verb="rent", machine=machine, gpus=gpus, blocks=blocks)

    async def rent_order(self, pallet: Pallet = RENT_PALLET, blocks: int = 600) -> int:
        assert await self.run_call(self.make_rent_call(blocks, pallet=pallet)) == ""
        return max(number for (name, number) in self.chain.state.orders if name == pallet.rpc_prefix)

    def advance_blocks(self, blocks: int) -> None:
        self.harness.advance_clock(seconds=6 * blocks)

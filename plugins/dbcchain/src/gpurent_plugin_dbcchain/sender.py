"""Extrinsics that are sent once. Signed and noted before anybody sees them, found again by their very bytes.

An extrinsic counts in the blocks of its era only. So whatever answer was lost: either a block of that era has these
bytes, or none ever will, and only then another one is signed.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, frozen

from gpurent.api import GpurentError, MoneyError, PluginContext, Spent, UnavailableError
from gpurent_plugin_dbcchain.chain_client import ChainClient, RpcError
from gpurent_plugin_dbcchain.extrinsic import (
    ERA_PERIOD,
    Era,
    RuntimeCall,
    build_extrinsic,
    find_failure,
    hash_extrinsic,
)
from gpurent_plugin_dbcchain.keys import derive_keypair
from gpurent_plugin_dbcchain.price import BLOCK_TIME
from gpurent_plugin_dbcchain.scale import EVENTS_KEY

MAX_TRIES = 4
_INVALID_TRANSACTION, _PRIORITY_TOO_LOW = 1010, 1014


@frozen(kw_only=True)
class ExtrinsicReceipt:
    """Where an extrinsic stands, in a block that cannot be taken back; ``error`` is the chain's refusal, or empty."""

    digest: str
    number: int
    block: str
    parent: str
    fee: int
    at: str
    error: str


class ExtrinsicSender:
    """Bound to one host; its notes outlive the process."""

    def __init__(self, context: PluginContext, chain: ChainClient) -> None:
        self._context, self._chain = context, chain
        self._submitted: set[str] = set()

    async def send(self, key: str, call: RuntimeCall) -> ExtrinsicReceipt:
        """`advance` until it has landed."""
        while True:
            landed = await self.try_send(key, call)
            if landed is not None:
                return landed
            await self._context.clock.sleep(BLOCK_TIME)

    async def try_send(self, key: str, call: RuntimeCall) -> ExtrinsicReceipt | None:
        """One look; signs and sends where nothing is on its way. None: not in a block yet that stays."""
        record = self._load_record(key)
        if record is not None and record["landed"]:
            return ExtrinsicReceipt(**record["landed"])
        if record is None or record["lapsed"]:
            record = await self._sign_extrinsic(key, call, record["tries"] if record else 0)
            await self._submit_first(key, record)
        elif key not in self._submitted:
            # The same bytes once more, in case they never arrived. Twice they cannot count.
            await self._submit_record(record)
            self._submitted.add(key)
        return await self._poll_blocks(key, record)

    async def wait_for_outcome(self, key: str) -> ExtrinsicReceipt | None:
        """What came of an extrinsic that may be on its way; signs nothing. None: nothing did, and nothing will."""
        while (record := self._load_record(key)) is not None and not record["lapsed"]:
            if record["landed"]:
                return ExtrinsicReceipt(**record["landed"])
            if (landed := await self._poll_blocks(key, record)) is not None:
                return landed
            await self._context.clock.sleep(BLOCK_TIME)
        return None

    def has_begun(self, key: str) -> bool:
        return self._load_record(key) is not None

    def _load_record(self, key: str) -> dict[str, Any] | None:
        text = self._context.state.get(f"sent/{key}")
        return json.loads(text) if text else None

    def _save_record(self, key: str, record: dict[str, Any], **changes: Any) -> None:
        record.update(changes)
        self._context.state.put(f"sent/{key}", json.dumps(record))

    async def _sign_extrinsic(self, key: str, call: RuntimeCall, tries: int) -> dict[str, Any]:
        if tries >= MAX_TRIES:
            self._context.state.put(f"sent/{key}", "")
            raise UnavailableError(
                f"the chain took no order within {MAX_TRIES * ERA_PERIOD} blocks",
                hint="Nothing was spent: what was signed counts no more. Try again later.",
                retryable=True,
            )
        login = await self._context.get_login()
        number, block = await self._chain.get_final_block()
        era = Era(birth=number, birth_hash=bytes.fromhex(block[2:]))
        nonce = await self._chain.get_next_nonce(login.account)
        place = await self._chain.get_identity()
        body = build_extrinsic(derive_keypair(login.token), call.encode(), place, era, nonce)
        record = {
            "body": body.hex(),
            "birth": era.birth,
            "death": era.death,
            "tries": tries + 1,
            "lapsed": False,
            "landed": None,
        }
        self._save_record(key, record)
        return record

    async def _submit_first(self, key: str, record: dict[str, Any]) -> None:
        """Only the node that refuses has seen it: a plain refusal ends it."""
        self._submitted.add(key)
        refusal = await self._submit_record(record)
        if refusal is None or refusal.code not in (_INVALID_TRANSACTION, _PRIORITY_TOO_LOW):
            return
        self._save_record(key, record, lapsed=True)
        if refusal.code == _INVALID_TRANSACTION and "outdated" not in refusal.data:
            raise MoneyError(f"the chain refuses the order: {refusal}", hint="Nothing was spent.")

    async def _submit_record(self, record: dict[str, Any]) -> RpcError | None:
        """The node's refusal, if any. After any other trouble the bytes may have arrived."""
        try:
            await self._chain.submit_extrinsic(bytes.fromhex(record["body"]))
        except RpcError as refusal:
            return refusal
        except GpurentError as error:
            error.spent = Spent.UNKNOWN
            raise
        return None

    async def _poll_blocks(self, key: str, record: dict[str, Any]) -> ExtrinsicReceipt | None:
        body = bytes.fromhex(record["body"])
        try:
            final, _hash = await self._chain.get_final_block()
            seen = record.get("seen", record["birth"])
            for number in range(seen + 1, min(final, record["death"]) + 1):
                block = await self._chain.get_block_hash(number)
                listed = await self._chain.list_extrinsics(block)
                if body in listed:
                    landed = await self._make_receipt(body, number, block, listed.index(body))
                    self._save_record(key, record, landed=asdict(landed))
                    return landed
                record["seen"] = number
        except GpurentError as error:
            error.spent = Spent.UNKNOWN
            raise
        self._save_record(key, record, lapsed=final >= record["death"])
        return None

    async def _make_receipt(self, body: bytes, number: int, block: str, index: int) -> ExtrinsicReceipt:
        parent = await self._chain.get_block_hash(number - 1)
        events = (await self._chain.get_storage([EVENTS_KEY], block))[EVENTS_KEY] or b""
        return ExtrinsicReceipt(
            digest=hash_extrinsic(body),
            number=number,
            block=block,
            parent=parent,
            fee=await self._chain.get_network_fee(body, parent),
            at=(await self._chain.get_block_time(block)).isoformat(),
            error=find_failure(events, index),
        )

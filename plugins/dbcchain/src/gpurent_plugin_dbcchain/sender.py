"""Extrinsics that take effect once: signed and saved before they are sent, found again by their exact bytes.

An extrinsic is valid only in the blocks of its era. So whatever response was lost: either a block of that era contains
these bytes, or none ever will, and only then another one is signed.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, frozen

from gpurent.api import GpurentError, MoneyError, PluginContext, Spent, UnavailableError
from gpurent_plugin_dbcchain import _
from gpurent_plugin_dbcchain.chain_client import ChainClient, RpcError
from gpurent_plugin_dbcchain.chain_pins import check_identity
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
STALL_TIMEOUT = timedelta(minutes=15)
_INVALID_TRANSACTION, _PRIORITY_TOO_LOW = 1010, 1014


@frozen(kw_only=True)
class ExtrinsicReceipt:
    """An extrinsic in a finalized block; ``error`` is the chain's refusal, or empty."""

    digest: str
    number: int
    block: str
    parent: str
    fee: int
    at: str
    error: str


class ExtrinsicSender:
    """Sends the extrinsics of one plugin context; its saved records outlive the process."""

    def __init__(self, context: PluginContext, chain: ChainClient) -> None:
        self._context, self._chain = context, chain
        self._submitted: set[str] = set()
        self._final = -1
        self._advanced_at: datetime | None = None

    async def send(self, key: str, call: RuntimeCall) -> ExtrinsicReceipt:
        """Call `try_send` until the extrinsic is in a finalized block."""
        while True:
            landed = await self.try_send(key, call)
            if landed is not None:
                return landed
            await self._context.clock.sleep(BLOCK_TIME)

    async def try_send(self, key: str, call: RuntimeCall) -> ExtrinsicReceipt | None:
        """Sign and send if nothing is in flight, then check the blocks once.

        Return None while no finalized block has it.
        """
        record = await self._load_record(key)
        if record is not None and record["included"]:
            return ExtrinsicReceipt(**record["included"])
        if record is None or record["expired"]:
            # A nonce counts as taken only from the submission on: no other process may sign in between.
            async with self._context.lock((await self._context.get_login()).account):
                record = await self._sign_extrinsic(key, call, record["tries"] if record else 0)
                await self._submit_first(key, record)
            if record["expired"]:
                return None
        elif key not in self._submitted:
            # The same bytes again, in case they never arrived. They cannot take effect twice.
            await self._submit_record(record)
            self._submitted.add(key)
        return await self._poll_blocks(key, record)

    async def wait_for_outcome(self, key: str) -> ExtrinsicReceipt | None:
        """Wait for the outcome of an extrinsic that may be in flight; signs nothing.

        Return None if it never took effect.
        """
        while (record := await self._load_record(key)) is not None and not record["expired"]:
            if record["included"]:
                return ExtrinsicReceipt(**record["included"])
            if (landed := await self._poll_blocks(key, record)) is not None:
                return landed
            await self._context.clock.sleep(BLOCK_TIME)
        return None

    async def has_begun(self, key: str) -> bool:
        return await self._load_record(key) is not None

    async def _load_record(self, key: str) -> dict[str, Any] | None:
        text = await self._context.state.get(f"extrinsic/{key}")
        return json.loads(text) if text else None

    async def _save_record(self, key: str, record: dict[str, Any], **changes: Any) -> None:
        record.update(changes)
        await self._context.state.put(f"extrinsic/{key}", json.dumps(record))

    async def _sign_extrinsic(self, key: str, call: RuntimeCall, tries: int) -> dict[str, Any]:
        if tries >= MAX_TRIES:
            await self._context.state.put(f"extrinsic/{key}", "")
            raise UnavailableError(
                _("the chain did not include the order within {blocks} blocks").format(
                    blocks=MAX_TRIES * ERA_PERIOD
                ),
                hint=_("The signed order is no longer valid. Try again later."),
                retryable=True,
            )
        login = await self._context.get_login()
        number, block = await self._chain.get_final_block()
        era = Era(birth=number, birth_hash=bytes.fromhex(block[2:]))
        nonce = await self._chain.get_next_nonce(login.account)
        place = check_identity(await self._chain.get_identity(), self._context.settings)
        body = build_extrinsic(derive_keypair(login.token), call.encode(), place, era, nonce)
        record = {
            "body": body.hex(),
            "birth": era.birth,
            "death": era.death,
            "tries": tries + 1,
            "expired": False,
            "included": None,
        }
        await self._save_record(key, record)
        return record

    async def _submit_first(self, key: str, record: dict[str, Any]) -> None:
        """Submit for the first time. Only this node has seen it, so a definite refusal means that it has lapsed."""
        self._submitted.add(key)
        refusal = await self._submit_record(record)
        if refusal is None or refusal.code not in (_INVALID_TRANSACTION, _PRIORITY_TOO_LOW):
            return
        await self._save_record(key, record, expired=True)
        if refusal.code == _INVALID_TRANSACTION and "outdated" not in refusal.data:
            raise MoneyError(_("the chain rejected the order: {why}").format(why=refusal))

    async def _submit_record(self, record: dict[str, Any]) -> RpcError | None:
        """Return the node's refusal, if any. After any other error the bytes may have arrived."""
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
            self._check_progress(final)
            seen = record.get("seen", record["birth"])
            for number in range(seen + 1, min(final, record["death"]) + 1):
                block = await self._chain.get_block_hash(number)
                listed = await self._chain.list_extrinsics(block)
                if body in listed:
                    landed = await self._make_receipt(body, number, block, listed.index(body))
                    await self._save_record(key, record, included=asdict(landed))
                    return landed
                record["seen"] = number
        except GpurentError as error:
            error.spent = Spent.UNKNOWN
            raise
        await self._save_record(key, record, expired=final >= record["death"])
        return None

    def _check_progress(self, final: int) -> None:
        """Raise `UnavailableError` if the newest finalized block has been the same for `STALL_TIMEOUT`."""
        now = self._context.clock.now()
        if final > self._final or self._advanced_at is None:
            self._final, self._advanced_at = final, now
        elif now - self._advanced_at >= STALL_TIMEOUT:
            raise UnavailableError(
                _("the chain has finalized no block for {minutes} minutes").format(
                    minutes=(now - self._advanced_at) // timedelta(minutes=1)
                ),
                hint=_("What was sent may still take effect; it is never paid twice."),
                retryable=True,
            )

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

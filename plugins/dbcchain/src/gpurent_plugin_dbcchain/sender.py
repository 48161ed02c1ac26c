"""Extrinsics that are sent once. Signed and noted before anybody sees them, found again by their very bytes.

An extrinsic counts in the blocks of its era only. So whatever answer was lost: either a block of that era has these
bytes, or none ever will, and only then another one is signed.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, frozen

from gpurent.api import GpurentError, MoneyError, PluginContext, Spent, UnavailableError
from gpurent_plugin_dbcchain.chain import Chain, RpcError
from gpurent_plugin_dbcchain.extrinsic import PERIOD, Call, Era, build, failure, hash_of
from gpurent_plugin_dbcchain.keys import pair_of
from gpurent_plugin_dbcchain.price import BLOCK
from gpurent_plugin_dbcchain.scale import EVENTS

TRIES = 4
_INVALID, _CROWDED = 1010, 1014


@frozen(kw_only=True)
class Landed:
    """Where an extrinsic stands, in a block that cannot be taken back; ``error`` is the chain's refusal, or empty."""

    digest: str
    number: int
    block: str
    parent: str
    fee: int
    at: str
    error: str


class Sender:
    """Bound to one host; its notes outlive the process."""

    def __init__(self, host: PluginContext, chain: Chain) -> None:
        self._host, self._chain = host, chain
        self._told: set[str] = set()

    async def send(self, key: str, call: Call) -> Landed:
        """`advance` until it has landed."""
        while True:
            landed = await self.advance(key, call)
            if landed is not None:
                return landed
            await self._host.clock.sleep(BLOCK)

    async def advance(self, key: str, call: Call) -> Landed | None:
        """One look; signs and sends where nothing is on its way. None: not in a block yet that stays."""
        record = self._noted(key)
        if record is not None and record["landed"]:
            return Landed(**record["landed"])
        if record is None or record["lapsed"]:
            record = await self._sign(key, call, record["tries"] if record else 0)
            await self._first(key, record)
        elif key not in self._told:
            # The same bytes once more, in case they never arrived. Twice they cannot count.
            await self._submit(record)
            self._told.add(key)
        return await self._look(key, record)

    async def settled(self, key: str) -> Landed | None:
        """What came of an extrinsic that may be on its way; signs nothing. None: nothing did, and nothing will."""
        while (record := self._noted(key)) is not None and not record["lapsed"]:
            if record["landed"]:
                return Landed(**record["landed"])
            if (landed := await self._look(key, record)) is not None:
                return landed
            await self._host.clock.sleep(BLOCK)
        return None

    def begun(self, key: str) -> bool:
        return self._noted(key) is not None

    def _noted(self, key: str) -> dict[str, Any] | None:
        text = self._host.notes.get(f"sent/{key}")
        return json.loads(text) if text else None

    def _note(self, key: str, record: dict[str, Any], **changes: Any) -> None:
        record.update(changes)
        self._host.notes.put(f"sent/{key}", json.dumps(record))

    async def _sign(self, key: str, call: Call, tries: int) -> dict[str, Any]:
        if tries >= TRIES:
            self._host.notes.put(f"sent/{key}", "")
            raise UnavailableError(
                f"the chain took no order within {TRIES * PERIOD} blocks",
                hint="Nothing was spent: what was signed counts no more. Try again later.",
                retryable=True,
            )
        login = await self._host.login()
        number, block = await self._chain.final()
        era = Era(birth=number, birth_hash=bytes.fromhex(block[2:]))
        nonce = await self._chain.next_nonce(login.account)
        place = await self._chain.place()
        body = build(pair_of(login.token), call.encode(), place, era, nonce)
        record = {
            "body": body.hex(),
            "birth": era.birth,
            "death": era.death,
            "tries": tries + 1,
            "lapsed": False,
            "landed": None,
        }
        self._note(key, record)
        return record

    async def _first(self, key: str, record: dict[str, Any]) -> None:
        """Only the node that refuses has seen it: a plain refusal ends it."""
        self._told.add(key)
        refusal = await self._submit(record)
        if refusal is None or refusal.code not in (_INVALID, _CROWDED):
            return
        self._note(key, record, lapsed=True)
        if refusal.code == _INVALID and "outdated" not in refusal.data:
            raise MoneyError(f"the chain refuses the order: {refusal}", hint="Nothing was spent.")

    async def _submit(self, record: dict[str, Any]) -> RpcError | None:
        """The node's refusal, if any. After any other trouble the bytes may have arrived."""
        try:
            await self._chain.submit(bytes.fromhex(record["body"]))
        except RpcError as refusal:
            return refusal
        except GpurentError as error:
            error.spent = Spent.UNKNOWN
            raise
        return None

    async def _look(self, key: str, record: dict[str, Any]) -> Landed | None:
        body = bytes.fromhex(record["body"])
        try:
            final, _hash = await self._chain.final()
            seen = record.get("seen", record["birth"])
            for number in range(seen + 1, min(final, record["death"]) + 1):
                block = await self._chain.hash(number)
                listed = await self._chain.extrinsics(block)
                if body in listed:
                    landed = await self._landed(body, number, block, listed.index(body))
                    self._note(key, record, landed=asdict(landed))
                    return landed
                record["seen"] = number
        except GpurentError as error:
            error.spent = Spent.UNKNOWN
            raise
        self._note(key, record, lapsed=final >= record["death"])
        return None

    async def _landed(self, body: bytes, number: int, block: str, index: int) -> Landed:
        parent = await self._chain.hash(number - 1)
        events = (await self._chain.values([EVENTS], block))[EVENTS] or b""
        return Landed(
            digest=hash_of(body),
            number=number,
            block=block,
            parent=parent,
            fee=await self._chain.network_fee(body, parent),
            at=(await self._chain.time(block)).isoformat(),
            error=failure(events, index),
        )

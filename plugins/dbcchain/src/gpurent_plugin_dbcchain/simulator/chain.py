"""Blocks every six seconds, a pool of extrinsics, and their validation."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import datetime, timedelta
from functools import partial

from attrs import frozen

from gpurent.api import Money, SimulatorContext, SimulatorLedgerEntry
from gpurent_plugin_dbcchain import extrinsic, wire
from gpurent_plugin_dbcchain.keys import ss58_encode
from gpurent_plugin_dbcchain.scale import encode_compact, encode_uint
from gpurent_plugin_dbcchain.simulator.pallets import (
    FINALITY_BLOCKS,
    FIRST_BLOCK,
    SPEC_VERSION,
    TX_VERSION,
    CallFailed,
    ChainHistory,
    ChainState,
    PalletRules,
    make_hosts,
    next_change_block,
)

BLOCK_TIME = timedelta(seconds=6)
_DISPATCH_INFO = encode_compact(10_000) + encode_compact(0) + b"\0\0\0"
_SUCCESS = b"\0\0"


class InvalidExtrinsic(Exception):
    """The pool rejects the extrinsic."""

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(data)
        self.code, self.message, self.data = code, message, data


@frozen(kw_only=True)
class PooledExtrinsic:
    """An extrinsic in the pool."""

    body: bytes
    signed: extrinsic.SignedExtrinsic
    birth: int
    death: int
    seen: int


class SimulatedChain:
    """The simulated chain. Callers hold ``lock`` and call `catch_up` first. Settings: average, taken, offline."""

    def __init__(self, context: SimulatorContext) -> None:
        given = context.settings
        state = ChainState(average=int(given.get("average", "2000")))
        state.hosts = make_hosts(
            context.machine_count, int(given.get("taken", "0")), int(given.get("offline", "0"))
        )
        self.context, self.genesis_at, self.lock = context, context.clock.now(), asyncio.Lock()
        self.history = ChainHistory(state, FIRST_BLOCK)
        self.pool: list[PooledExtrinsic] = []
        self.entries: list[SimulatorLedgerEntry] = []
        self.sealed_block = FIRST_BLOCK

    @property
    def state(self) -> ChainState:
        return self.history.state

    @property
    def newest_block(self) -> int:
        return FIRST_BLOCK + (self.context.clock.now() - self.genesis_at) // BLOCK_TIME

    @property
    def final_block(self) -> int:
        return self.newest_block - FINALITY_BLOCKS

    def get_block_time(self, block: int) -> datetime:
        return self.genesis_at + (block - FIRST_BLOCK) * BLOCK_TIME

    def get_identity(self) -> extrinsic.ChainIdentity:
        return extrinsic.ChainIdentity(
            spec_version=SPEC_VERSION, tx_version=TX_VERSION, genesis=self._get_block_hash(0)
        )

    def _get_block_hash(self, block: int) -> bytes:
        return bytes.fromhex(self.history.get_block_hash(block)[2:])

    def add_ledger_entry(self, block: int, account: bytes, kind: str, units: int, ref: str) -> None:
        if units:
            self.entries.append(
                SimulatorLedgerEntry(
                    at=self.get_block_time(block),
                    account=ss58_encode(account),
                    kind=kind,
                    amount=Money(units, wire.DBC),
                    ref=ref,
                )
            )

    # the pool

    def submit(self, body: bytes) -> str:
        try:
            signed = extrinsic.decode_extrinsic(body)
            birth, death = extrinsic.decode_era(signed.era, self.newest_block)
        except ValueError as error:
            raise InvalidExtrinsic(1010, "Invalid Transaction", f"it cannot be read: {error}") from None
        if not extrinsic.is_signed_for(signed, self.get_identity(), self._get_block_hash(birth)):
            raise InvalidExtrinsic(1010, "Invalid Transaction", "Transaction has a bad signature")
        if any(item.body == body for item in self.pool):
            raise InvalidExtrinsic(1013, "Transaction Already Imported", "")
        account = self.state.account(signed.public)
        if signed.nonce < account.nonce:
            raise InvalidExtrinsic(1010, "Invalid Transaction", "Transaction is outdated")
        if any(
            (item.signed.public, item.signed.nonce) == (signed.public, signed.nonce) for item in self.pool
        ):
            raise InvalidExtrinsic(1014, "Priority is too low", "")
        if account.free < compute_network_fee(body):
            raise InvalidExtrinsic(
                1010, "Invalid Transaction", "Inability to pay some fees (e.g. account balance too low)"
            )
        self.pool.append(
            PooledExtrinsic(body=body, signed=signed, birth=birth, death=death, seen=self.newest_block)
        )
        return extrinsic.hash_extrinsic(body)

    def get_next_nonce(self, public: bytes) -> int:
        nonce = self.state.account(public).nonce
        taken = {item.signed.nonce for item in self.pool if item.signed.public == public}
        while nonce in taken:
            nonce += 1
        return nonce

    # blocks

    def catch_up(self) -> None:
        """Make every block up to now; only those in which something happens are computed."""
        newest = self.newest_block
        while (block := self._find_next_block()) <= newest:
            self._make_block(block)
        self.sealed_block = newest

    def _find_next_block(self) -> int:
        found = [max(item.seen, self.sealed_block) + 1 for item in self.pool]
        found += [
            max(next_change_block(order), self.sealed_block + 1) for order in self.state.orders.values()
        ]
        return min(found, default=1 << 62)

    def _make_block(self, block: int) -> None:
        included = self.list_extrinsics(block)
        marks = b"\0" + encode_uint(0, 4) + _SUCCESS + _DISPATCH_INFO
        for item in sorted(self.pool, key=lambda item: item.signed.nonce):
            account = self.state.account(item.signed.public)
            if item.birth <= block < item.death and item.signed.nonce != account.nonce:
                continue
            self.pool.remove(item)
            if item.birth <= block < item.death:
                marks += self._include_extrinsic(block, item, len(included))
                included.append(item.body)
        PalletRules(self.state, block, partial(self.add_ledger_entry, block)).finish_block()
        if len(included) > 1:
            self.history.extrinsics[block], self.history.events[block] = included, marks
        self.history.seal_block(block)
        self.sealed_block = block

    def _include_extrinsic(self, block: int, item: PooledExtrinsic, index: int) -> bytes:
        """Run the extrinsic and return its event record.

        If the call fails, nothing changes except for the network fee.
        """
        who, fee = item.signed.public, compute_network_fee(item.body)
        account = self.state.account(who)
        account.nonce += 1
        account.free -= fee
        self.add_ledger_entry(block, who, "network", -fee, extrinsic.hash_extrinsic(item.body))
        before, lines = deepcopy(self.state), len(self.entries)
        try:
            call = extrinsic.decode_call(item.signed.call)
            PalletRules(self.state, block, partial(self.add_ledger_entry, block)).run_call(who, call)
        except (CallFailed, ValueError) as why:
            self.history.state = before
            del self.entries[lines:]
            name = str(why) if str(why) in extrinsic.RENT_ERRORS else "Unknown"
            return (
                extrinsic.encode_failure(index, item.signed.call[0], extrinsic.RENT_ERRORS.index(name))
                + _DISPATCH_INFO
            )
        return b"\0" + encode_uint(index, 4) + _SUCCESS + _DISPATCH_INFO

    def list_extrinsics(self, block: int) -> list[bytes]:
        """Return the block's extrinsics; the first one is always its time."""
        millis = round(self.get_block_time(block).timestamp() * 1000)
        body = b"\x04\x02\x00" + encode_compact(millis)
        return self.history.extrinsics.get(block) or [encode_compact(len(body)) + body]


def compute_network_fee(body: bytes) -> int:
    """Return the network fee: a little for the weight, 10^9 for each byte."""
    return 125_010_000 + len(body) * 10**9

"""Blocks every six seconds, a pool of extrinsics, and what makes one valid."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import datetime, timedelta
from functools import partial

from attrs import frozen

from gpurent.api import Money, SimulatorContext, SimulatorLedgerEntry
from gpurent_plugin_dbcchain import extrinsic, wire
from gpurent_plugin_dbcchain.keys import address
from gpurent_plugin_dbcchain.scale import compact, uint
from gpurent_plugin_dbcchain.simulator.pallets import (
    FINAL_AFTER,
    FIRST,
    SPEC,
    TX,
    CallFailed,
    ChainState,
    History,
    PalletRules,
    due,
    hosts,
)

BLOCK = timedelta(seconds=6)
_INFO = compact(10_000) + compact(0) + b"\0\0\0"
_DONE = b"\0\0"


class InvalidExtrinsic(Exception):
    """The pool takes no such extrinsic."""

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(data)
        self.code, self.message, self.data = code, message, data


@frozen(kw_only=True)
class PooledExtrinsic:
    """An extrinsic in the pool."""

    body: bytes
    signed: extrinsic.Signed
    birth: int
    death: int
    seen: int


class SimulatedChain:
    """Callers hold ``lock`` and call `catch_up` first. Settings: average, taken, offline."""

    def __init__(self, site: SimulatorContext) -> None:
        given = site.settings
        state = ChainState(average=int(given.get("average", "2000")))
        state.hosts = hosts(site.machine_count, int(given.get("taken", "0")), int(given.get("offline", "0")))
        self.site, self.genesis, self.lock = site, site.clock.now(), asyncio.Lock()
        self.history = History(state, FIRST)
        self.pool: list[PooledExtrinsic] = []
        self.entries: list[SimulatorLedgerEntry] = []
        self.sealed = FIRST

    @property
    def state(self) -> ChainState:
        return self.history.now

    @property
    def newest(self) -> int:
        return FIRST + (self.site.clock.now() - self.genesis) // BLOCK

    @property
    def final(self) -> int:
        return self.newest - FINAL_AFTER

    def when(self, block: int) -> datetime:
        return self.genesis + (block - FIRST) * BLOCK

    def place(self) -> extrinsic.Place:
        return extrinsic.Place(spec=SPEC, tx=TX, genesis=self._hash(0))

    def _hash(self, block: int) -> bytes:
        return bytes.fromhex(self.history.hash(block)[2:])

    def book(self, block: int, account: bytes, kind: str, units: int, ref: str) -> None:
        if units:
            self.entries.append(
                SimulatorLedgerEntry(
                    at=self.when(block),
                    account=address(account),
                    kind=kind,
                    amount=Money(units, wire.DBC),
                    ref=ref,
                )
            )

    # the pool

    def submit(self, body: bytes) -> str:
        try:
            signed = extrinsic.read(body)
            birth, death = extrinsic.era_of(signed.era, self.newest)
        except ValueError as error:
            raise InvalidExtrinsic(1010, "Invalid Transaction", f"it cannot be read: {error}") from None
        if not extrinsic.signed_for(signed, self.place(), self._hash(birth)):
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
        if account.free < fee_of(body):
            raise InvalidExtrinsic(
                1010, "Invalid Transaction", "Inability to pay some fees (e.g. account balance too low)"
            )
        self.pool.append(
            PooledExtrinsic(body=body, signed=signed, birth=birth, death=death, seen=self.newest)
        )
        return extrinsic.hash_of(body)

    def next_nonce(self, public: bytes) -> int:
        nonce = self.state.account(public).nonce
        taken = {item.signed.nonce for item in self.pool if item.signed.public == public}
        while nonce in taken:
            nonce += 1
        return nonce

    # blocks

    def catch_up(self) -> None:
        """Make every block up to now; only those in which something happens are looked at."""
        newest = self.newest
        while (block := self._next()) <= newest:
            self._make(block)
        self.sealed = newest

    def _next(self) -> int:
        found = [max(item.seen, self.sealed) + 1 for item in self.pool]
        found += [max(due(order), self.sealed + 1) for order in self.state.orders.values()]
        return min(found, default=1 << 62)

    def _make(self, block: int) -> None:
        included = self.extrinsics(block)
        marks = b"\0" + uint(0, 4) + _DONE + _INFO
        for item in sorted(self.pool, key=lambda item: item.signed.nonce):
            account = self.state.account(item.signed.public)
            if item.birth <= block < item.death and item.signed.nonce != account.nonce:
                continue
            self.pool.remove(item)
            if item.birth <= block < item.death:
                marks += self._include(block, item, len(included))
                included.append(item.body)
        PalletRules(self.state, block, partial(self.book, block)).finish()
        if len(included) > 1:
            self.history.extrinsics[block], self.history.events[block] = included, marks
        self.history.seal(block)
        self.sealed = block

    def _include(self, block: int, item: PooledExtrinsic, index: int) -> bytes:
        """Run it; a call that fails changes nothing, but its network fee is gone. Gives its mark among the events."""
        who, fee = item.signed.public, fee_of(item.body)
        account = self.state.account(who)
        account.nonce += 1
        account.free -= fee
        self.book(block, who, "network", -fee, extrinsic.hash_of(item.body))
        before, lines = deepcopy(self.state), len(self.entries)
        try:
            call = extrinsic.decode_call(item.signed.call)
            PalletRules(self.state, block, partial(self.book, block)).run(who, call)
        except (CallFailed, ValueError) as why:
            self.history.now = before
            del self.entries[lines:]
            name = str(why) if str(why) in extrinsic.RENT_ERRORS else "Unknown"
            return extrinsic.failed(index, item.signed.call[0], extrinsic.RENT_ERRORS.index(name)) + _INFO
        return b"\0" + uint(index, 4) + _DONE + _INFO

    def extrinsics(self, block: int) -> list[bytes]:
        """Every block begins with its own time."""
        millis = round(self.when(block).timestamp() * 1000)
        body = b"\x04\x02\x00" + compact(millis)
        return self.history.extrinsics.get(block) or [compact(len(body)) + body]


def fee_of(body: bytes) -> int:
    """The network's fee: a little for the weight, 10^9 for each byte."""
    return 125_010_000 + len(body) * 10**9

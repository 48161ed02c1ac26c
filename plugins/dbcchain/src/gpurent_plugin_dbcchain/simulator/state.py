"""What the sandbox's chain knows: accounts, machines, orders, and how they stood in every block. No HTTP, no clock."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

from attrs import define, field

from gpurent_plugin_dbcchain.calls import RENT, TERMINATING, Pallet

FIRST = 5_000_000
UNIT = 10**15
FINAL_AFTER = 2
SPEC, TX = 411, 2
STANDARD = (10_000, 5_000_000)
# model, GPUs, GiB each, points of computing power, extra price (10^-6 USD a day for each GPU), registry
MODELS = (
    ("GeForceRTX3090", 1, 24, 10_000, 0, RENT),
    ("GeForceRTX2080Ti", 2, 11, 13_337, 1_111_111, TERMINATING),
    ("GeForceRTX4090", 4, 24, 88_888, 700_001, RENT),
    ("TeslaV100", 2, 32, 31_415, 0, TERMINATING),
)


@define
class ChainAccount:
    """An account's money in 10^-15 DBC."""

    nonce: int = 0
    free: int = 0
    reserved: int = 0


@define
class ListedHost:
    """A machine of a registry; ``taken`` GPUs belong to somebody else."""

    id: str
    pallet: Pallet
    gpu: str
    gpus: int
    memory: int
    points: int
    extra: int
    status: Any = "online"
    taken: int = 0


@define
class Tenancy:
    """An order. Times are block numbers."""

    id: int
    pallet: Pallet
    machine: str
    renter: bytes
    start: int
    end: int
    stake: int
    gpus: int
    confirmed: int = 0
    status: str = "waitingVerifying"


@define
class ChainState:
    """Everything that a block can change."""

    average: int
    fee: int = 10 * UNIT
    accounts: dict[bytes, ChainAccount] = field(factory=dict)
    hosts: dict[str, ListedHost] = field(factory=dict)
    orders: dict[tuple[str, int], Tenancy] = field(factory=dict)
    next_id: dict[str, int] = field(factory=lambda: {RENT.rpc: 7, TERMINATING.rpc: 3})

    def account(self, public: bytes) -> ChainAccount:
        return self.accounts.setdefault(public, ChainAccount())

    def rented(self, host: ListedHost) -> int:
        mine = sum(order.gpus for order in self.orders.values() if order.machine == host.id)
        return host.taken + mine


class History:
    """The state block by block; blocks that changed nothing share one."""

    def __init__(self, state: ChainState, first: int) -> None:
        self.now = state
        self._versions: list[tuple[int, ChainState]] = [(first - 1, deepcopy(state))]
        self.extrinsics: dict[int, list[bytes]] = {}
        self.events: dict[int, bytes] = {}
        self._numbers: dict[str, int] = {}

    def seal(self, block: int) -> None:
        """Keep the state as it is at the end of ``block``."""
        copied = deepcopy(self.now)
        if self._versions[-1][0] == block:
            self._versions[-1] = (block, copied)
        else:
            self._versions.append((block, copied))

    def at(self, block: int) -> ChainState:
        return next(state for number, state in reversed(self._versions) if number <= block)

    def hash(self, block: int) -> str:
        found = "0x" + hashlib.blake2b(b"sandbox %d" % block, digest_size=32).hexdigest()
        self._numbers[found] = block
        return found

    def number(self, digest: str) -> int:
        return self._numbers[digest]


def hosts(count: int, taken: int, offline: int) -> dict[str, ListedHost]:
    """``count`` machines, the last ``taken`` with somebody else, the ``offline`` before them not to be reached."""
    found = {}
    for index in range(count):
        gpu, gpus, memory, points, extra, pallet = MODELS[index % len(MODELS)]
        host = ListedHost(
            id=hashlib.sha256(b"host %d" % index).hexdigest(),
            pallet=pallet,
            gpu=gpu,
            gpus=gpus,
            memory=memory,
            points=points,
            extra=extra,
        )
        if index >= count - taken:
            host.taken, host.status = gpus, "rented"
        elif index >= count - taken - offline:
            host.status = {"stakerReportOffline": [FIRST, "online"]}
        found[host.id] = host
    return found

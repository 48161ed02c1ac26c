"""What the simulated chain knows, its state in every block, and what a call does to it. No HTTP, no clock.

The rules of the two pallets are written from their source, independently of the client's own arithmetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from math import floor
from typing import Any

from attrs import define, field

from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET, TERMINATING_PALLET, Pallet, RuntimeCall

FIRST_BLOCK = 5_000_000
UNIT = 10**15
FINALITY_BLOCKS = 2
SPEC_VERSION, TX_VERSION = 411, 2
STANDARD_PRICE = (10_000, 5_000_000)
# model, GPUs, GiB each, points of computing power, extra price (10^-6 USD per day and GPU), registry
MODELS = (
    ("GeForceRTX3090", 1, 24, 10_000, 0, RENT_PALLET),
    ("GeForceRTX2080Ti", 2, 11, 13_337, 1_111_111, TERMINATING_PALLET),
    ("GeForceRTX4090", 4, 24, 88_888, 700_001, RENT_PALLET),
    ("TeslaV100", 2, 32, 31_415, 0, TERMINATING_PALLET),
)
MINUTE_BLOCKS, DAY_BLOCKS = 10, 14_400
HALF_HOUR_BLOCKS, CONFIRM_WINDOW, MAX_BLOCKS = 30 * MINUTE_BLOCKS, 15 * MINUTE_BLOCKS, 60 * DAY_BLOCKS
Book = Callable[[bytes, str, int, str], None]


@define
class ChainAccount:
    """An account's money, in 10^-15 DBC."""

    nonce: int = 0
    free: int = 0
    reserved: int = 0


@define
class ListedHost:
    """A machine of a registry; ``taken`` GPUs are rented by others."""

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
class SimulatedOrder:
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
    orders: dict[tuple[str, int], SimulatedOrder] = field(factory=dict)
    next_id: dict[str, int] = field(
        factory=lambda: {RENT_PALLET.rpc_prefix: 7, TERMINATING_PALLET.rpc_prefix: 3}
    )

    def account(self, public: bytes) -> ChainAccount:
        return self.accounts.setdefault(public, ChainAccount())

    def count_rented_gpus(self, host: ListedHost) -> int:
        mine = sum(order.gpus for order in self.orders.values() if order.machine == host.id)
        return host.taken + mine


class ChainHistory:
    """The state of each block; blocks without changes share one."""

    def __init__(self, state: ChainState, first: int) -> None:
        self.state = state
        self._versions: list[tuple[int, ChainState]] = [(first - 1, deepcopy(state))]
        self.extrinsics: dict[int, list[bytes]] = {}
        self.events: dict[int, bytes] = {}
        self._numbers: dict[str, int] = {}

    def seal_block(self, block: int) -> None:
        """Save the current state as the end of ``block``."""
        if self._versions[-1][0] == block:
            self._versions.pop()
        self._versions.append((block, deepcopy(self.state)))

    def get_state(self, block: int) -> ChainState:
        return next(state for number, state in reversed(self._versions) if number <= block)

    def get_block_hash(self, block: int) -> str:
        found = "0x" + hashlib.blake2b(b"sandbox %d" % block, digest_size=32).hexdigest()
        self._numbers[found] = block
        return found

    def get_block_number(self, digest: str) -> int:
        return self._numbers[digest]


def make_hosts(free: int, taken: int, offline: int) -> dict[str, ListedHost]:
    """Return ``free`` machines, then ``offline`` that are offline, then ``taken`` that are rented by others."""
    found = {}
    for index in range(free + offline + taken):
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
        if index >= free + offline:
            host.taken, host.status = gpus, "rented"
        elif index >= free:
            host.status = {"stakerReportOffline": [FIRST_BLOCK, "online"]}
        found[host.id] = host
    return found


class CallFailed(Exception):
    """A call fails; the text is the error's name."""


def ensure(good: bool, error: str) -> None:
    if not good:
        raise CallFailed(error)


def perbill(part: int, whole: int) -> int:
    """Return ``part / whole`` in units of 10^-9, rounded down, at most 1."""
    return min(10**9, floor(Fraction(part, whole) * 10**9))


def apply_perbill(share: int, units: int) -> int:
    """Return that share of an amount, rounded to the nearest unit, halves down."""
    exact = Fraction(units * share, 10**9)
    return floor(exact) + (exact - floor(exact) > Fraction(1, 2))


class PalletRules:
    """The pallets' rules; ``add_ledger_entry(account, kind, units, ref)`` records what really leaves an account."""

    def __init__(self, state: ChainState, block: int, add_ledger_entry: Book) -> None:
        self._state, self._block, self._add_ledger_entry = state, block, add_ledger_entry

    def run_call(self, who: bytes, call: RuntimeCall) -> None:
        {
            "rent": self._apply_rent,
            "confirm": self._apply_confirm,
            "relet": self._apply_relet,
            "terminate": self._apply_terminate,
        }[call.verb](who, call)

    def _compute_rent(self, host: ListedHost, gpus: int, blocks: int) -> int:
        points, standard = STANDARD_PRICE
        whole = standard * host.points * 10_000 // points
        day = whole * gpus // host.gpus // 10_000 + host.extra * gpus
        return (day * blocks // DAY_BLOCKS) * UNIT // self._state.average

    def _apply_rent(self, who: bytes, call: RuntimeCall) -> None:
        state, account = self._state, self._state.account(who)
        host = state.hosts.get(call.machine)
        if host is None or host.pallet != call.pallet:
            raise CallFailed("Unknown")
        if call.blocks == 0:
            return
        ensure(call.gpus + state.count_rented_gpus(host) <= host.gpus, "GPUNotEnough")
        ensure(call.blocks % HALF_HOUR_BLOCKS == 0, "OnlyHalfHourAllowed")
        ensure(host.status in ("online", "rented"), "MachineNotRentable")
        blocks = min(call.blocks, MAX_BLOCKS)
        ensure(account.free >= state.fee, "PayTxFeeFailed")
        account.free -= state.fee
        rent = self._compute_rent(host, call.gpus, blocks)
        ensure(account.free >= rent, "InsufficientValue")
        account.free -= rent
        account.reserved += rent
        number = state.next_id[call.pallet.rpc_prefix]
        state.next_id[call.pallet.rpc_prefix] = number + 1
        state.orders[call.pallet.rpc_prefix, number] = SimulatedOrder(
            id=number,
            pallet=call.pallet,
            machine=host.id,
            renter=who,
            start=self._block,
            end=self._block + blocks,
            stake=rent,
            gpus=call.gpus,
        )
        host.status = "rented"
        self._add_ledger_entry(who, "fee", -state.fee, f"{call.pallet.rpc_prefix}:{number}")

    def _get_own_order(self, who: bytes, call: RuntimeCall) -> SimulatedOrder:
        order = self._state.orders.get((call.pallet.rpc_prefix, call.order))
        if order is None:
            raise CallFailed("Unknown")
        ensure(order.renter == who, "NotMachineRenter" if call.verb == "relet" else "NoOrderExist")
        return order

    def _apply_confirm(self, who: bytes, call: RuntimeCall) -> None:
        order, account = self._get_own_order(who, call), self._state.account(who)
        ensure(order.status == "waitingVerifying", "NoOrderExist")
        ensure(self._block - order.start <= CONFIRM_WINDOW, "ExpiredConfirm")
        ensure(self._state.hosts[order.machine].status == "rented", "StatusNotAllowed")
        order.confirmed, order.status = self._block, "renting"
        if order.pallet == RENT_PALLET:
            account.reserved -= order.stake
            self._add_ledger_entry(who, "rent", -order.stake, f"{order.pallet.rpc_prefix}:{order.id}")
            order.stake = 0

    def _apply_relet(self, who: bytes, call: RuntimeCall) -> None:
        ensure(call.blocks >= 10 * MINUTE_BLOCKS, "ReletTooShort")
        order, account = self._get_own_order(who, call), self._state.account(who)
        ensure(order.status == "renting", "NoOrderExist")
        latest = self._block + MAX_BLOCKS
        if latest >= order.end + call.blocks:
            blocks = call.blocks
        else:
            # The second registry's real code adds the full 60 days here.
            blocks = max(0, latest - order.end) if order.pallet == RENT_PALLET else MAX_BLOCKS
        if not blocks:
            return
        rent = self._compute_rent(self._state.hosts[order.machine], order.gpus, blocks)
        ensure(rent < account.free, "InsufficientValue")
        account.free -= rent
        order.end += blocks
        if order.pallet == RENT_PALLET:
            self._add_ledger_entry(who, "relet", -rent, f"{order.pallet.rpc_prefix}:{order.id}")
        else:
            account.reserved += rent
            order.stake += rent

    def _apply_terminate(self, who: bytes, call: RuntimeCall) -> None:
        order = self._get_own_order(who, call)
        share = perbill(self._block - order.start, order.end - order.start)
        self._pay_from_stake(order, apply_perbill(share, order.stake))

    def _pay_from_stake(self, order: SimulatedOrder, units: int) -> None:
        account = self._state.account(order.renter)
        account.reserved -= order.stake
        account.free += order.stake - units
        self._add_ledger_entry(order.renter, "rent", -units, f"{order.pallet.rpc_prefix}:{order.id}")
        self._delete_order(order)

    def _delete_order(self, order: SimulatedOrder) -> None:
        del self._state.orders[order.pallet.rpc_prefix, order.id]
        host = self._state.hosts[order.machine]
        if not self._state.count_rented_gpus(host) and host.status == "rented":
            host.status = "online"

    def finish_block(self) -> None:
        """Finish the block: unconfirmed orders lapse, expired ones are paid out and dropped."""
        for order in list(self._state.orders.values()):
            if order.end <= self._block:
                self._pay_from_stake(order, 0 if order.pallet == RENT_PALLET else order.stake)
            elif order.status == "waitingVerifying" and order.start + CONFIRM_WINDOW <= self._block:
                self._pay_from_stake(order, 0)


def next_change_block(order: SimulatedOrder) -> int:
    """Return the next block whose end changes this order without a call."""
    lapse = order.start + CONFIRM_WINDOW if order.status == "waitingVerifying" else order.end
    return min(lapse, order.end)

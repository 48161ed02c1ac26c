"""The seven calls that rent machines, to bytes and back. Indices and arguments: the runtime and both pallets."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from gpurent_plugin_dbcchain.scale import Reader, text, uint

Verb = Literal["rent", "confirm", "relet", "terminate"]


@frozen(kw_only=True)
class Pallet:
    """A registry of machines with its own orders.

    ``name`` stands in its storage keys, ``rpc`` before its calls; ``machines`` and ``listing`` likewise for the pallet
    that knows the machines. ``refunds``: what was not used comes back.
    """

    name: str
    rpc: str
    index: int
    verbs: dict[Verb, int]
    machines: str
    listing: str
    refunds: bool


RENT = Pallet(
    name="RentMachine",
    rpc="rentMachine",
    index=111,
    verbs={"rent": 1, "confirm": 2, "relet": 3},
    machines="OnlineProfile",
    listing="onlineProfile",
    refunds=False,
)
TERMINATING = Pallet(
    name="TerminatingRental",
    rpc="terminatingRental",
    index=113,
    verbs={"rent": 10, "confirm": 11, "relet": 12, "terminate": 13},
    machines="TerminatingRental",
    listing="terminatingRental",
    refunds=True,
)
PALLETS = {pallet.rpc: pallet for pallet in (RENT, TERMINATING)}


@frozen(kw_only=True)
class Call:
    """``machine`` and ``gpus`` of a rent; ``order`` of everything else; ``blocks`` where time is bought."""

    pallet: Pallet
    verb: Verb
    machine: str = ""
    gpus: int = 0
    order: int = 0
    blocks: int = 0

    def encode(self) -> bytes:
        head = uint(self.pallet.index, 1) + uint(self.pallet.verbs[self.verb], 1)
        if self.verb == "rent":
            return head + text(self.machine.encode()) + uint(self.gpus, 4) + uint(self.blocks, 4)
        if self.verb == "relet":
            return head + uint(self.order, 8) + uint(self.blocks, 4)
        return head + uint(self.order, 8)


def decode(data: bytes) -> Call:
    """The call in ``data``; another call, or bytes too many: `ValueError`."""
    read = Reader(data)
    index, variant = read.uint(1), read.uint(1)
    for pallet in PALLETS.values():
        for verb, number in pallet.verbs.items():
            if (pallet.index, number) == (index, variant):
                found = _arguments(pallet, verb, read)
                read.end()
                return found
    raise ValueError(f"no call {variant} of pallet {index} is known here")


def _arguments(pallet: Pallet, verb: Verb, read: Reader) -> Call:
    if verb == "rent":
        machine = read.text().decode()
        return Call(pallet=pallet, verb=verb, machine=machine, gpus=read.uint(4), blocks=read.uint(4))
    order = read.uint(8)
    return Call(pallet=pallet, verb=verb, order=order, blocks=read.uint(4) if verb == "relet" else 0)

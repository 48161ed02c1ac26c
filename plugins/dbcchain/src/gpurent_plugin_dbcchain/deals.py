"""What a bill is for, noted when the bill is made, and what the chain made of it."""

from __future__ import annotations

import json

from attrs import asdict, frozen

from gpurent.api import PluginState
from gpurent_plugin_dbcchain.calls import PALLETS, Call, Pallet


@frozen(kw_only=True)
class Deal:
    """``verb`` rent: ``gpus`` of ``machine``, and sizes (GiB) of what is started there; relet: more of ``order``."""

    registry: str
    verb: str
    machine: str
    blocks: int
    order: int = 0
    gpus: int = 0
    cpus: int = 0
    memory: int = 0
    disk: int = 0
    image: str = ""

    @property
    def pallet(self) -> Pallet:
        return PALLETS[self.registry]

    def call(self) -> Call:
        if self.verb == "rent":
            return Call(
                pallet=self.pallet, verb="rent", machine=self.machine, gpus=self.gpus, blocks=self.blocks
            )
        return Call(pallet=self.pallet, verb="relet", order=self.order, blocks=self.blocks)


@frozen(kw_only=True)
class Placed:
    """An order that a rent made. Times are block numbers, ``stake`` is set aside until it is confirmed."""

    order: int
    start: int
    end: int
    stake: int


class Deals:
    """Notes by the key of the bill."""

    def __init__(self, notes: PluginState) -> None:
        self._notes = notes

    def deal(self, key: str) -> Deal | None:
        found = self._notes.get(f"deal/{key}")
        return Deal(**json.loads(found)) if found else None

    def note(self, key: str, deal: Deal) -> None:
        self._notes.put(f"deal/{key}", json.dumps(asdict(deal)))

    def placed(self, key: str) -> Placed | None:
        found = self._notes.get(f"placed/{key}")
        return Placed(**json.loads(found)) if found else None

    def place(self, key: str, deal: Deal, placed: Placed) -> None:
        self._notes.put(f"whose/{deal.registry}/{placed.order}", key)
        self._notes.put(f"placed/{key}", json.dumps(asdict(placed)))

    def whose(self, registry: str, order: int) -> str:
        """The key of the bill that an order was rented for, empty when not by us."""
        return self._notes.get(f"whose/{registry}/{order}") or ""

    def left(self, key: str) -> str:
        """Why a rent was not gone on with, empty when it was."""
        return self._notes.get(f"left/{key}") or ""

    def leave(self, key: str, why: str) -> None:
        """From here on nothing more is sent for this bill."""
        self._notes.put(f"left/{key}", why)


def ref_of(pallet: Pallet, order: int) -> str:
    return f"{pallet.rpc}:{order}"


def parse_ref(ref: str) -> tuple[Pallet, int]:
    registry, _, order = ref.partition(":")
    return PALLETS[registry], int(order)

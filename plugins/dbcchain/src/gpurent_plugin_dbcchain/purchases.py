"""What a bill is for, what the chain made of it and what it cost: saved in the state, since nodes drop old blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from attrs import asdict, frozen

from gpurent.api import USD, Charge, ChargeKind, Money, PluginContext, PluginState, Rate
from gpurent_plugin_dbcchain import _, wire
from gpurent_plugin_dbcchain.extrinsic import PALLETS, Pallet, RuntimeCall

_HOLDS = "holds"


@frozen(kw_only=True)
class Purchase:
    """What a bill buys. ``verb`` rent: ``gpus`` of ``machine``, with the sizes (GiB) of the virtual machine to start.

    ``verb`` relet: more time on ``order``.
    """

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

    def make_call(self) -> RuntimeCall:
        if self.verb == "rent":
            return RuntimeCall(
                pallet=self.pallet, verb="rent", machine=self.machine, gpus=self.gpus, blocks=self.blocks
            )
        return RuntimeCall(pallet=self.pallet, verb="relet", order=self.order, blocks=self.blocks)


@frozen(kw_only=True)
class PlacedOrder:
    """An order made by a rent call. Times are block numbers; ``stake`` is reserved until the order is confirmed."""

    order: int
    start: int
    end: int
    stake: int


class PurchaseStore:
    """Saved deals, by the key of the bill."""

    def __init__(self, state: PluginState) -> None:
        self._state = state

    async def find_deal(self, key: str) -> Purchase | None:
        found = await self._state.get(f"deal/{key}")
        return Purchase(**json.loads(found)) if found else None

    async def save_deal(self, key: str, deal: Purchase) -> None:
        await self._state.put(f"deal/{key}", json.dumps(asdict(deal)))

    async def find_placed_order(self, key: str) -> PlacedOrder | None:
        found = await self._state.get(f"placed/{key}")
        return PlacedOrder(**json.loads(found)) if found else None

    async def save_placed_order(self, key: str, deal: Purchase, placed: PlacedOrder) -> None:
        await self._state.put(f"order-key/{deal.registry}/{placed.order}", key)
        await self._state.put(f"placed/{key}", json.dumps(asdict(placed)))

    async def get_order_key(self, registry: str, order: int) -> str:
        """Return the key of the bill that paid for an order; empty if the order is not ours."""
        return await self._state.get(f"order-key/{registry}/{order}") or ""

    async def get_abandon_reason(self, key: str) -> str:
        """Return why a rent was abandoned; empty if it was not."""
        return await self._state.get(f"abandoned/{key}") or ""

    async def save_abandon_reason(self, key: str, reason: str) -> None:
        """Save why a rent is abandoned; nothing more is sent for this bill afterwards."""
        await self._state.put(f"abandoned/{key}", reason)

    async def save_sold_out(self, key: str) -> None:
        """Save that the chain refused a rent because others have the machine."""
        await self._state.put(f"sold-out/{key}", "yes")

    async def is_sold_out(self, key: str) -> bool:
        return await self._state.get(f"sold-out/{key}") is not None


def make_ref(pallet: Pallet, order: int) -> str:
    return f"{pallet.rpc_prefix}:{order}"


def parse_ref(ref: str) -> tuple[Pallet, int]:
    registry, _colon, order = ref.partition(":")
    return PALLETS[registry], int(order)


class ChainLedger:
    """Charges by the key of their bill, each entered once by its ``ref``."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._state = context.state

    async def add_entry(
        self, key: str, ref: str, kind: ChargeKind, units: int, *, at: str, note: str, average: int
    ) -> None:
        """Add an entry; ``average`` is 10^-6 USD per DBC at that time."""
        row = {"ref": ref, "kind": kind.value, "units": units, "at": at, "note": note, "average": average}
        # Lists are read, extended and written again: another process must not do so at the same time.
        async with self._context.lock("ledger"):
            rows = await self._load_list(f"charges/{key}")
            if units and all(known["ref"] != ref for known in rows):
                await self._state.put(f"charges/{key}", json.dumps([*rows, row]))
            keys = await self._load_list("charge-keys")
            if key not in keys:
                await self._state.put("charge-keys", json.dumps([*keys, key]))

    async def hold_amount(self, key: str, units: int, ceiling: int) -> int | None:
        """Count ``units`` as spent for bill ``key`` until `drop_hold`, so that payments at once share one ceiling.

        Return None, or, if it would exceed ``ceiling``, what is spent and held for other bills so far; it is not held
        then. All in 10^-15 DBC.
        """
        async with self._context.lock("ledger"):
            holds: dict[str, int] = json.loads(await self._state.get(_HOLDS) or "{}")
            holds.pop(key, None)
            # Of a bill that is being paid, a part may be in the ledger already.
            open_units = [
                max(0, held - (await self.sum_spent([other])).amount) for other, held in holds.items()
            ]
            counted = (await self.sum_spent()).amount + sum(open_units)
            if counted + units > ceiling:
                return counted
            await self._state.put(_HOLDS, json.dumps({**holds, key: units}))
            return None

    async def drop_hold(self, key: str) -> None:
        """Count for bill ``key`` only what is in the ledger: it is paid, or nothing more is sent for it."""
        async with self._context.lock("ledger"):
            holds: dict[str, int] = json.loads(await self._state.get(_HOLDS) or "{}")
            if holds.pop(key, None) is not None:
                await self._state.put(_HOLDS, json.dumps(holds))

    async def _load_list(self, name: str) -> list[Any]:
        return list(json.loads(await self._state.get(name) or "[]"))

    async def list_charges(self, keys: Iterable[str]) -> list[Charge]:
        """Return the charges under ``keys``, oldest first."""
        found = [
            _make_charge(row)
            for key in dict.fromkeys(keys)
            for row in await self._load_list(f"charges/{key}")
        ]
        return sorted(found, key=lambda charge: charge.at)

    async def sum_spent(self, keys: Iterable[str] | None = None) -> Money:
        """Return what was spent less refunds, under ``keys`` or in total."""
        total = 0
        for charge in await self.list_charges(await self._load_list("charge-keys") if keys is None else keys):
            total += -charge.money.amount if charge.kind is ChargeKind.REFUND else charge.money.amount
        return wire.to_money(total)


def _make_charge(row: dict[str, str | int]) -> Charge:
    at = datetime.fromisoformat(str(row["at"]))
    average = Decimal(int(row["average"])) / 10**6
    return Charge(
        at=at,
        kind=ChargeKind(str(row["kind"])),
        money=wire.to_money(int(row["units"])),
        ref=str(row["ref"]),
        note=str(row["note"]),
        rate=Rate(wire.DBC, USD, average, at, _("the chain's own price")),
    )

"""The chain as it can be looked at: heads, blocks, accounts, prices, machines, orders. Nothing here signs or spends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from gpurent.api import Http, UnavailableError
from gpurent_plugin_dbcchain import storage, wire
from gpurent_plugin_dbcchain.base58 import public_of
from gpurent_plugin_dbcchain.calls import Pallet
from gpurent_plugin_dbcchain.extrinsic import Place
from gpurent_plugin_dbcchain.price import BLOCK, Tariff
from gpurent_plugin_dbcchain.rpc import Rpc, RpcError

ABREAST = 16
_ABSENT = "NotFound"
NOW = storage.key("Timestamp", "Now")


@frozen(kw_only=True)
class Prices:
    """What a price is made of, as it stands in one block; ``average`` is 10^-6 USD for one DBC, ``fee`` 10^-15 DBC."""

    average: int
    at: datetime
    fee: int


@frozen(kw_only=True)
class Stock:
    """A machine with its price and what others have of it."""

    machine: wire.Machine
    tariff: Tariff
    taken: int

    @property
    def free(self) -> int:
        return max(0, self.machine.gpus - self.taken) if self.machine.status in wire.RENTABLE else 0


class Chain:
    """One node, asked over HTTP. ``at`` is always a block's hash; without it the newest block."""

    def __init__(self, http: Http) -> None:
        self.rpc = Rpc(http)

    async def _read(self, method: str, *params: Any) -> Any:
        try:
            return await self.rpc.read(method, *params)
        except RpcError as error:
            raise UnavailableError(f"the chain's node refuses {method}: {error}", retryable=True) from None

    async def _known(self, method: str, *params: Any) -> Any:
        """None where the node says that there is no such thing."""
        try:
            return await self.rpc.read(method, *params)
        except RpcError as error:
            if error.data == _ABSENT:
                return None
            raise UnavailableError(f"the chain's node refuses {method}: {error}", retryable=True) from None

    # blocks

    async def newest(self) -> int:
        return await self._height()

    async def final(self) -> tuple[int, str]:
        """Number and hash of the newest block that cannot be taken back."""
        found = wire.digest(await self._read("chain_getFinalizedHead"))
        return await self._height(found), found

    async def _height(self, *at: str) -> int:
        head = wire.record(await self._read("chain_getHeader", *at), "number")
        return wire.number(head["number"])

    async def hash(self, block: int) -> str:
        return wire.digest(await self._read("chain_getBlockHash", block))

    async def extrinsics(self, at: str) -> Sequence[bytes]:
        raw = wire.record(await self._read("chain_getBlock", at), "block")
        return [wire.data(item) for item in wire.record(raw["block"], "extrinsics")["extrinsics"]]

    async def time(self, *at: str) -> datetime:
        """The chain's own time in a block."""
        return _moment((await self.values([NOW], *at))[NOW])

    async def when(self, block: int) -> datetime:
        """When a block was or will be, by the newest one and six seconds each."""
        return await self.time() + (block - await self.newest()) * BLOCK

    async def place(self) -> Place:
        runtime = wire.record(
            await self._read("state_getRuntimeVersion"), "specVersion", "transactionVersion"
        )
        return Place(
            spec=wire.number(runtime["specVersion"]),
            tx=wire.number(runtime["transactionVersion"]),
            genesis=bytes.fromhex((await self.hash(0))[2:]),
        )

    async def values(self, keys: Sequence[str], *at: str) -> Mapping[str, bytes | None]:
        """Storage by its keys, all in one call."""
        raw = await self._read("state_queryStorageAt", list(keys), *at)
        if not isinstance(raw, list) or len(raw) != 1:
            raise wire.changed("no storage", raw)
        pairs = wire.record(raw[0], "changes")["changes"]
        found = {str(name): None if value is None else wire.data(value) for name, value in pairs}
        return {name: found.get(name) for name in keys}

    # accounts

    async def account(self, address: str, *at: str) -> storage.Account:
        name = storage.account_key(public_of(address))
        return storage.account((await self.values([name], *at))[name])

    async def next_nonce(self, address: str) -> int:
        return wire.number(await self._read("system_accountNextIndex", address))

    async def network_fee(self, extrinsic: bytes, *at: str) -> int:
        raw = await self._read("payment_queryInfo", "0x" + extrinsic.hex(), *at)
        return wire.number(wire.record(raw, "partialFee")["partialFee"])

    async def prices(self, *at: str) -> Prices:
        found = await self.values([storage.AVERAGE, storage.FIXED_FEE, NOW], *at)
        average = storage.number(found[storage.AVERAGE], 8)
        fee = storage.number(found[storage.FIXED_FEE], 16)
        if not average or fee is None:
            raise UnavailableError("the chain has no price for DBC now", retryable=True)
        return Prices(average=average, fee=fee, at=_moment(found[NOW]))

    # machines

    async def machines(self, pallet: Pallet, wanted: str = "") -> Sequence[Stock]:
        """Everything of one registry, or the one machine ``wanted``."""
        names = wire.listed(await self._read(f"{pallet.listing}_getMachineList"))
        if wanted:
            names = [name for name in names if name == wanted]
        gate = asyncio.Semaphore(ABREAST)

        async def one(name: str) -> wire.Machine | None:
            async with gate:
                return await self.machine(pallet, name)

        known = [found for found in await asyncio.gather(*map(one, names)) if found is not None]
        return await self._stocked(pallet, [found for found in known if found.gpus])

    async def machine(self, pallet: Pallet, name: str) -> wire.Machine | None:
        raw = await self._known(f"{pallet.listing}_getMachineInfo", name)
        return None if raw is None else wire.machine(name, raw)

    async def stock(self, pallet: Pallet, name: str, *at: str) -> Stock | None:
        """One machine, listed or not."""
        found = await self.machine(pallet, name)
        if found is None or not found.gpus:
            return None
        stocked = await self._stocked(pallet, [found], *at)
        return stocked[0] if stocked else None

    async def _stocked(self, pallet: Pallet, machines: Sequence[wire.Machine], *at: str) -> list[Stock]:
        standard = storage.key(pallet.machines, "StandardGPUPointPrice")
        extra = {m.id: storage.machine_key(pallet.machines, "MachineExtraPrice", m.id) for m in machines}
        taken = {m.id: storage.machine_key(pallet.machines, "MachineRentedGPU", m.id) for m in machines}
        found = await self.values([standard, *extra.values(), *taken.values()], *at)
        price = storage.standard_price(found[standard])
        if price is None or not price[0]:
            return []
        return [
            Stock(
                machine=m,
                tariff=Tariff(
                    points=price[0],
                    standard=price[1],
                    calc_point=m.calc_point,
                    gpus=m.gpus,
                    extra=storage.number(found[extra[m.id]], 8) or 0,
                ),
                taken=storage.number(found[taken[m.id]], 4) or 0,
            )
            for m in machines
        ]

    # orders

    async def order_ids(self, pallet: Pallet, address: str, *at: str) -> list[int]:
        return wire.numbers(await self._read(f"{pallet.rpc}_getRentList", address, *at))

    async def order(self, pallet: Pallet, number: int, *at: str) -> wire.Rented | None:
        raw = await self._known(f"{pallet.rpc}_getRentOrder", number, *at)
        return None if raw is None else wire.rented(number, raw)


def _moment(raw: Any) -> datetime:
    millis = storage.number(raw, 8)
    if not millis:
        raise wire.changed("no time", raw)
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis)

"""The chain as it can be looked at: heads, blocks, accounts, prices, machines, orders. Nothing here signs or spends.

JSON-RPC over plain HTTP, one call a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_UP, Decimal
from itertools import count
from typing import Any

from attrs import frozen

from gpurent.api import (
    Hardware,
    Http,
    Offer,
    Prepaid,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    UnitPrice,
)
from gpurent_plugin_dbcchain import scale, wire
from gpurent_plugin_dbcchain.extrinsic import Pallet, Place
from gpurent_plugin_dbcchain.keys import public_of
from gpurent_plugin_dbcchain.price import BLOCK, HALF_HOUR, LONGEST, Tariff

NAME = "dbc-chain"
ABREAST = 16
_ABSENT = "NotFound"
_CENT = Decimal("0.000001")
NOW = scale.storage_key("Timestamp", "Now")


class RpcError(Exception):
    """The node's own refusal."""

    def __init__(self, raw: Any) -> None:
        found = raw if isinstance(raw, dict) else {}
        code, message = found.get("code"), str(found.get("message", "refused"))[:200]
        self.code = code if isinstance(code, int) else 0
        self.data = str(found.get("data") or "")[:200]
        super().__init__(f"{message}: {self.data}" if self.data else message)


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
    """One node, asked over HTTP. ``at`` is always a block's hash; without it the newest block.

    Every method but `submit` only reads, although all are POST.
    """

    def __init__(self, http: Http) -> None:
        self._http, self._ids = http, count(1)

    async def submit(self, extrinsic: bytes) -> None:
        """Hand an extrinsic to the node's pool. A lost answer leaves it open whether it is there."""
        await self._call("author_submitExtrinsic", ("0x" + extrinsic.hex(),))

    async def _read(self, method: str, *params: Any, absent: str | None = None) -> Any:
        """The answer; None where the node refuses with ``absent``, the words for what it does not have."""
        try:
            return await self._call(method, params)
        except RpcError as error:
            if error.data == absent:
                return None
            raise UnavailableError(f"the chain's node refuses {method}: {error}", retryable=True) from None
        except (UnavailableError, UnexpectedResponse) as error:
            error.spent = Spent.NO
            raise

    async def _call(self, method: str, params: tuple[Any, ...]) -> Any:
        number = next(self._ids)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        answer = await self._http.request("POST", "", json=body)
        if answer.status >= 500 or answer.status == 429:
            raise UnavailableError(
                f"the chain's node is in trouble (status {answer.status})",
                retryable=True,
                spent=Spent.UNKNOWN,
            )
        raw = answer.json()
        if not isinstance(raw, dict) or raw.get("id") != number or not ({"result", "error"} & raw.keys()):
            raise UnexpectedResponse(f"{method} was not answered", url=answer.url, body=answer.text)
        if raw.get("error") is not None:
            raise RpcError(raw["error"])
        return raw["result"]

    # blocks

    async def final(self) -> tuple[int, str]:
        """Number and hash of the newest block that cannot be taken back."""
        found = wire.digest(await self._read("chain_getFinalizedHead"))
        return await self.height(found), found

    async def height(self, *at: str) -> int:
        """A block's number."""
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
        return await self.time() + (block - await self.height()) * BLOCK

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

    async def account(self, address: str, *at: str) -> scale.Account:
        name = scale.storage_key("System", "Account", public_of(address))
        return scale.account((await self.values([name], *at))[name])

    async def next_nonce(self, address: str) -> int:
        return wire.number(await self._read("system_accountNextIndex", address))

    async def network_fee(self, extrinsic: bytes, *at: str) -> int:
        raw = await self._read("payment_queryInfo", "0x" + extrinsic.hex(), *at)
        return wire.number(wire.record(raw, "partialFee")["partialFee"])

    async def prices(self, *at: str) -> Prices:
        found = await self.values([scale.AVERAGE, scale.FIXED_FEE, NOW], *at)
        average = scale.number(found[scale.AVERAGE], 8)
        fee = scale.number(found[scale.FIXED_FEE], 16)
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
        raw = await self._read(f"{pallet.listing}_getMachineInfo", name, absent=_ABSENT)
        return None if raw is None else wire.machine(name, raw)

    async def stock(self, pallet: Pallet, name: str, *at: str) -> Stock | None:
        """One machine, listed or not."""
        found = await self.machine(pallet, name)
        if found is None or not found.gpus:
            return None
        stocked = await self._stocked(pallet, [found], *at)
        return stocked[0] if stocked else None

    async def _stocked(self, pallet: Pallet, machines: Sequence[wire.Machine], *at: str) -> list[Stock]:
        standard = scale.storage_key(pallet.machines, "StandardGPUPointPrice")
        extra = {m.id: scale.machine_key(pallet.machines, "MachineExtraPrice", m.id) for m in machines}
        taken = {m.id: scale.machine_key(pallet.machines, "MachineRentedGPU", m.id) for m in machines}
        found = await self.values([standard, *extra.values(), *taken.values()], *at)
        price = found[standard]
        points, day = (0, 0) if price is None else scale.numbers(price, 8, 8)
        if not points:
            return []
        return [
            Stock(
                machine=m,
                tariff=Tariff(
                    points=points,
                    standard=day,
                    calc_point=m.calc_point,
                    gpus=m.gpus,
                    extra=scale.number(found[extra[m.id]], 8) or 0,
                ),
                taken=scale.number(found[taken[m.id]], 4) or 0,
            )
            for m in machines
        ]

    # orders

    async def order_ids(self, pallet: Pallet, address: str, *at: str) -> list[int]:
        return wire.numbers(await self._read(f"{pallet.rpc}_getRentList", address, *at))

    async def order(self, pallet: Pallet, number: int, *at: str) -> wire.Rented | None:
        raw = await self._read(f"{pallet.rpc}_getRentOrder", number, *at, absent=_ABSENT)
        return None if raw is None else wire.rented(number, raw)


def _moment(raw: Any) -> datetime:
    millis = scale.number(raw, 8)
    if not millis:
        raise wire.changed("no time", raw)
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis)


def offer_of(pallet: Pallet, stock: Stock, fee: int) -> Offer:
    """``fee`` of a new order in 10^-15 DBC. The price is for one GPU, in USD; the bill has the chain's exact sum."""
    machine = stock.machine
    hourly = (Decimal(stock.tariff.day(1)) / (24 * 10**6)).quantize(_CENT, ROUND_UP)
    words = "unused rent comes back" if pallet.refunds else "no refund once confirmed"
    return Offer(
        key=machine.id,
        provider=NAME,
        hardware=Hardware(
            gpu=machine.gpu,
            gpus=stock.free or machine.gpus,
            gpu_memory=machine.gpu_memory,
            cpus=machine.cpus,
            memory=machine.memory,
            disk=machine.disk,
        ),
        tariff=Prepaid(
            price=UnitPrice(hourly, wire.DOLLAR, timedelta(hours=1)),
            minimum=HALF_HOUR * BLOCK,
            maximum=LONGEST * BLOCK,
            refundable=pallet.refunds,
            fee=wire.money(fee),
        ),
        free=stock.free > 0,
        note=f"{words}; each order costs {wire.money(fee)} on top",
        shop={"registry": pallet.rpc, "gpus": str(machine.gpus)},
    )

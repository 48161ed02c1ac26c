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
from gpurent_plugin_dbcchain.extrinsic import ChainIdentity, Pallet
from gpurent_plugin_dbcchain.keys import ss58_decode
from gpurent_plugin_dbcchain.price import BLOCK_TIME, HALF_HOUR_BLOCKS, MAX_BLOCKS, MachineTariff

NAME = "dbc-chain"
MAX_CONCURRENCY = 16
_NOT_FOUND = "NotFound"
_PRICE_STEP = Decimal("0.000001")
TIMESTAMP_KEY = scale.storage_key("Timestamp", "Now")


class RpcError(Exception):
    """The node's own refusal."""

    def __init__(self, raw: Any) -> None:
        found = raw if isinstance(raw, dict) else {}
        code, message = found.get("code"), str(found.get("message", "refused"))[:200]
        self.code = code if isinstance(code, int) else 0
        self.data = str(found.get("data") or "")[:200]
        super().__init__(f"{message}: {self.data}" if self.data else message)


@frozen(kw_only=True)
class ChainPrices:
    """What a price is made of, as it stands in one block; ``average`` is 10^-6 USD for one DBC, ``fee`` 10^-15 DBC."""

    average: int
    at: datetime
    fee: int


@frozen(kw_only=True)
class MachineStock:
    """A machine with its price and what others have of it."""

    machine: wire.ChainMachine
    tariff: MachineTariff
    rented_gpus: int

    @property
    def free(self) -> int:
        return (
            max(0, self.machine.gpus - self.rented_gpus)
            if self.machine.status in wire.RENTABLE_STATUSES
            else 0
        )


class ChainClient:
    """One node, asked over HTTP. ``at`` is always a block's hash; without it the newest block.

    Every method but `submit` only reads, although all are POST.
    """

    def __init__(self, http: Http) -> None:
        self._http, self._ids = http, count(1)

    async def submit_extrinsic(self, extrinsic: bytes) -> None:
        """Hand an extrinsic to the node's pool. A lost answer leaves it open whether it is there."""
        await self._call("author_submitExtrinsic", ("0x" + extrinsic.hex(),))

    async def _query(self, method: str, *params: Any, absent: str | None = None) -> Any:
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

    async def get_final_block(self) -> tuple[int, str]:
        """Number and hash of the newest block that cannot be taken back."""
        found = wire.parse_hash(await self._query("chain_getFinalizedHead"))
        return await self.get_block_number(found), found

    async def get_block_number(self, *at: str) -> int:
        """A block's number."""
        head = wire.parse_record(await self._query("chain_getHeader", *at), "number")
        return wire.parse_number(head["number"])

    async def get_block_hash(self, block: int) -> str:
        return wire.parse_hash(await self._query("chain_getBlockHash", block))

    async def list_extrinsics(self, at: str) -> Sequence[bytes]:
        raw = wire.parse_record(await self._query("chain_getBlock", at), "block")
        return [wire.parse_hex(item) for item in wire.parse_record(raw["block"], "extrinsics")["extrinsics"]]

    async def get_block_time(self, *at: str) -> datetime:
        """The chain's own time in a block."""
        return _parse_time((await self.get_storage([TIMESTAMP_KEY], *at))[TIMESTAMP_KEY])

    async def estimate_block_time(self, block: int) -> datetime:
        """When a block was or will be, by the newest one and six seconds each."""
        return await self.get_block_time() + (block - await self.get_block_number()) * BLOCK_TIME

    async def get_identity(self) -> ChainIdentity:
        runtime = wire.parse_record(
            await self._query("state_getRuntimeVersion"), "specVersion", "transactionVersion"
        )
        return ChainIdentity(
            spec_version=wire.parse_number(runtime["specVersion"]),
            tx_version=wire.parse_number(runtime["transactionVersion"]),
            genesis=bytes.fromhex((await self.get_block_hash(0))[2:]),
        )

    async def get_storage(self, keys: Sequence[str], *at: str) -> Mapping[str, bytes | None]:
        """Storage by its keys, all in one call."""
        raw = await self._query("state_queryStorageAt", list(keys), *at)
        if not isinstance(raw, list) or len(raw) != 1:
            raise wire.make_changed_error("no storage", raw)
        pairs = wire.parse_record(raw[0], "changes")["changes"]
        found = {str(name): None if value is None else wire.parse_hex(value) for name, value in pairs}
        return {name: found.get(name) for name in keys}

    # accounts

    async def get_account(self, address: str, *at: str) -> scale.AccountInfo:
        name = scale.storage_key("System", "Account", ss58_decode(address))
        return scale.decode_account((await self.get_storage([name], *at))[name])

    async def get_next_nonce(self, address: str) -> int:
        return wire.parse_number(await self._query("system_accountNextIndex", address))

    async def get_network_fee(self, extrinsic: bytes, *at: str) -> int:
        raw = await self._query("payment_queryInfo", "0x" + extrinsic.hex(), *at)
        return wire.parse_number(wire.parse_record(raw, "partialFee")["partialFee"])

    async def get_prices(self, *at: str) -> ChainPrices:
        found = await self.get_storage([scale.AVERAGE_PRICE_KEY, scale.FIXED_FEE_KEY, TIMESTAMP_KEY], *at)
        average = scale.decode_uint(found[scale.AVERAGE_PRICE_KEY], 8)
        fee = scale.decode_uint(found[scale.FIXED_FEE_KEY], 16)
        if not average or fee is None:
            raise UnavailableError("the chain has no price for DBC now", retryable=True)
        return ChainPrices(average=average, fee=fee, at=_parse_time(found[TIMESTAMP_KEY]))

    # machines

    async def list_stock(self, pallet: Pallet, wanted: str = "") -> Sequence[MachineStock]:
        """Everything of one registry, or the one machine ``wanted``."""
        names = wire.parse_machine_ids(await self._query(f"{pallet.machines_rpc_prefix}_getMachineList"))
        if wanted:
            names = [name for name in names if name == wanted]
        gate = asyncio.Semaphore(MAX_CONCURRENCY)

        async def one(name: str) -> wire.ChainMachine | None:
            async with gate:
                return await self.find_machine(pallet, name)

        known = [found for found in await asyncio.gather(*map(one, names)) if found is not None]
        return await self._load_stock(pallet, [found for found in known if found.gpus])

    async def find_machine(self, pallet: Pallet, name: str) -> wire.ChainMachine | None:
        raw = await self._query(f"{pallet.machines_rpc_prefix}_getMachineInfo", name, absent=_NOT_FOUND)
        return None if raw is None else wire.parse_machine(name, raw)

    async def find_stock(self, pallet: Pallet, name: str, *at: str) -> MachineStock | None:
        """One machine, listed or not."""
        found = await self.find_machine(pallet, name)
        if found is None or not found.gpus:
            return None
        stocked = await self._load_stock(pallet, [found], *at)
        return stocked[0] if stocked else None

    async def _load_stock(
        self, pallet: Pallet, machines: Sequence[wire.ChainMachine], *at: str
    ) -> list[MachineStock]:
        standard = scale.storage_key(pallet.machines_pallet, "StandardGPUPointPrice")
        extra = {
            m.id: scale.machine_storage_key(pallet.machines_pallet, "MachineExtraPrice", m.id)
            for m in machines
        }
        taken = {
            m.id: scale.machine_storage_key(pallet.machines_pallet, "MachineRentedGPU", m.id)
            for m in machines
        }
        found = await self.get_storage([standard, *extra.values(), *taken.values()], *at)
        price = found[standard]
        points, day = (0, 0) if price is None else scale.decode_uints(price, 8, 8)
        if not points:
            return []
        return [
            MachineStock(
                machine=m,
                tariff=MachineTariff(
                    points=points,
                    standard=day,
                    calc_point=m.calc_point,
                    gpus=m.gpus,
                    extra=scale.decode_uint(found[extra[m.id]], 8) or 0,
                ),
                rented_gpus=scale.decode_uint(found[taken[m.id]], 4) or 0,
            )
            for m in machines
        ]

    # orders

    async def list_order_ids(self, pallet: Pallet, address: str, *at: str) -> list[int]:
        return wire.parse_numbers(await self._query(f"{pallet.rpc_prefix}_getRentList", address, *at))

    async def find_order(self, pallet: Pallet, number: int, *at: str) -> wire.ChainOrder | None:
        raw = await self._query(f"{pallet.rpc_prefix}_getRentOrder", number, *at, absent=_NOT_FOUND)
        return None if raw is None else wire.parse_order(number, raw)


def _parse_time(raw: Any) -> datetime:
    millis = scale.decode_uint(raw, 8)
    if not millis:
        raise wire.make_changed_error("no time", raw)
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis)


def make_offer(pallet: Pallet, stock: MachineStock, fee: int) -> Offer:
    """``fee`` of a new order in 10^-15 DBC. The price is for one GPU, in USD; the bill has the chain's exact sum."""
    machine = stock.machine
    hourly = (Decimal(stock.tariff.price_per_day(1)) / (24 * 10**6)).quantize(_PRICE_STEP, ROUND_UP)
    words = "unused rent comes back" if pallet.is_refundable else "no refund once confirmed"
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
            minimum=HALF_HOUR_BLOCKS * BLOCK_TIME,
            maximum=MAX_BLOCKS * BLOCK_TIME,
            refundable=pallet.is_refundable,
            fee=wire.to_money(fee),
        ),
        free=stock.free > 0,
        note=f"{words}; each order costs {wire.to_money(fee)} on top",
        shop={"registry": pallet.rpc_prefix, "gpus": str(machine.gpus)},
    )

"""Access to the chain: blocks, accounts, prices, machines, orders, the pool.

JSON-RPC over plain HTTP, one call per request. Nothing here signs; only `submit_extrinsic` changes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
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
    quote_text,
)
from gpurent_plugin_dbcchain import _, scale, wire
from gpurent_plugin_dbcchain.extrinsic import ChainIdentity, Pallet
from gpurent_plugin_dbcchain.keys import ss58_decode
from gpurent_plugin_dbcchain.price import BLOCK_TIME, HALF_HOUR_BLOCKS, MAX_BLOCKS, MachineTariff

NAME = "dbc-chain"
MAX_CONCURRENCY = 16
_NOT_FOUND = "NotFound"
_PRICE_STEP = Decimal("0.000001")
TIMESTAMP_KEY = scale.storage_key("Timestamp", "Now")


class RpcError(Exception):
    """The node refused a call."""

    def __init__(self, raw: Any) -> None:
        found = raw if isinstance(raw, dict) else {}
        code, message = found.get("code"), str(found.get("message", "refused"))[:200]
        self.code = code if isinstance(code, int) else 0
        self.data = str(found.get("data") or "")[:200]
        super().__init__(f"{message}: {self.data}" if self.data else message)


@frozen(kw_only=True)
class ChainPrices:
    """What prices consist of, as of one block; ``average`` is 10^-6 USD per DBC, ``fee`` is in 10^-15 DBC."""

    average: int
    at: datetime
    fee: int


@frozen(kw_only=True)
class MachineStock:
    """A machine with its price and what others rent of it."""

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
    """One node, queried over HTTP. ``block_hash`` says as of which block; without it, the newest one.

    Every method except `submit_extrinsic` only reads, although all are POST.
    """

    def __init__(self, http: Http) -> None:
        self._http, self._ids = http, count(1)

    async def submit_extrinsic(self, extrinsic: bytes) -> None:
        """Submit an extrinsic to the node's pool. If the response is lost, it may or may not be in the pool."""
        await self._call("author_submitExtrinsic", ("0x" + extrinsic.hex(),))

    async def _query(self, method: str, *params: Any, absent: str | None = None) -> Any:
        """Return the result; None if the node refuses with ``absent``, its error text for what it does not have."""
        try:
            return await self._call(method, params)
        except RpcError as error:
            if error.data == absent:
                return None
            raise UnavailableError(
                _("the chain node rejected {method}: {error}").format(
                    method=method, error=quote_text(str(error))
                ),
                retryable=True,
            ) from None
        except (UnavailableError, UnexpectedResponse) as error:
            error.spent = Spent.NO
            raise

    async def _call(self, method: str, params: tuple[Any, ...]) -> Any:
        number = next(self._ids)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        answer = await self._http.request("POST", "", json=body)
        answer.raise_if_unavailable(_("the chain node"), Spent.UNKNOWN)
        raw = answer.json()
        if not isinstance(raw, dict) or raw.get("id") != number or not ({"result", "error"} & raw.keys()):
            raise UnexpectedResponse(
                _("the chain node's response to {method} has an unexpected format").format(method=method),
                url=answer.url,
                body=answer.text,
            )
        if raw.get("error") is not None:
            raise RpcError(raw["error"])
        return raw["result"]

    # blocks

    async def get_final_block(self) -> tuple[int, str]:
        """Return number and hash of the newest finalized block."""
        found = wire.parse_hash(await self._query("chain_getFinalizedHead"))
        return await self.get_block_number(found), found

    async def get_block_number(self, *block_hash: str) -> int:
        """Return a block's number."""
        head = wire.parse_record(await self._query("chain_getHeader", *block_hash), "number")
        return wire.parse_block(head["number"])

    async def get_block_hash(self, block: int) -> str:
        return wire.parse_hash(await self._query("chain_getBlockHash", block))

    async def list_extrinsics(self, block_hash: str) -> Sequence[bytes]:
        return wire.parse_extrinsics(await self._query("chain_getBlock", block_hash))

    async def get_block_time(self, *block_hash: str) -> datetime:
        """Return the chain's own time in a block."""
        return wire.parse_time((await self.get_storage([TIMESTAMP_KEY], *block_hash))[TIMESTAMP_KEY])

    async def estimate_block_time(self, block: int) -> datetime:
        """Estimate when a block was or will be, from the newest finalized one and six seconds per block."""
        # Number and time of one block: the chain goes on between two requests.
        known, block_hash = await self.get_final_block()
        return await self.get_block_time(block_hash) + (block - known) * BLOCK_TIME

    async def get_identity(self) -> ChainIdentity:
        runtime = wire.parse_record(
            await self._query("state_getRuntimeVersion"), "specVersion", "transactionVersion"
        )
        return ChainIdentity(
            spec_version=wire.parse_number(runtime["specVersion"]),
            tx_version=wire.parse_number(runtime["transactionVersion"]),
            genesis=bytes.fromhex((await self.get_block_hash(0))[2:]),
        )

    async def get_storage(self, keys: Sequence[str], *block_hash: str) -> Mapping[str, bytes | None]:
        """Return storage values by key, in a single call."""
        found = wire.parse_storage(await self._query("state_queryStorageAt", list(keys), *block_hash))
        return {name: found.get(name) for name in keys}

    # accounts

    async def get_account(self, address: str, *block_hash: str) -> scale.AccountInfo:
        name = scale.storage_key("System", "Account", ss58_decode(address))
        return wire.parse_account((await self.get_storage([name], *block_hash))[name])

    async def get_next_nonce(self, address: str) -> int:
        return wire.parse_number(await self._query("system_accountNextIndex", address))

    async def get_network_fee(self, extrinsic: bytes, *block_hash: str) -> int:
        raw = await self._query("payment_queryInfo", "0x" + extrinsic.hex(), *block_hash)
        return wire.parse_number(wire.parse_record(raw, "partialFee")["partialFee"])

    async def get_prices(self, *block_hash: str) -> ChainPrices:
        found = await self.get_storage(
            [scale.AVERAGE_PRICE_KEY, scale.FIXED_FEE_KEY, TIMESTAMP_KEY], *block_hash
        )
        average = wire.parse_uint(found[scale.AVERAGE_PRICE_KEY], 8)
        fee = wire.parse_uint(found[scale.FIXED_FEE_KEY], 16)
        if not average or fee is None:
            raise UnavailableError(_("the chain currently has no price for DBC"), retryable=True)
        return ChainPrices(average=average, fee=fee, at=wire.parse_time(found[TIMESTAMP_KEY]))

    # machines

    async def list_stock(self, pallet: Pallet, machine_id: str = "") -> Sequence[MachineStock]:
        """Return all machines of a pallet, or only ``machine_id``."""
        machine_ids = wire.parse_machine_ids(
            await self._query(f"{pallet.machines_rpc_prefix}_getMachineList")
        )
        if machine_id:
            machine_ids = [listed for listed in machine_ids if listed == machine_id]
        gate = asyncio.Semaphore(MAX_CONCURRENCY)

        async def find_one(listed: str) -> wire.ChainMachine | None:
            async with gate:
                return await self.find_machine(pallet, listed)

        known = [found for found in await asyncio.gather(*map(find_one, machine_ids)) if found is not None]
        return await self._load_stock(pallet, [found for found in known if found.gpus])

    async def find_machine(self, pallet: Pallet, machine_id: str) -> wire.ChainMachine | None:
        raw = await self._query(f"{pallet.machines_rpc_prefix}_getMachineInfo", machine_id, absent=_NOT_FOUND)
        return None if raw is None else wire.parse_machine(machine_id, raw)

    async def find_stock(self, pallet: Pallet, machine_id: str, *block_hash: str) -> MachineStock | None:
        """Return one machine, whether or not `list_stock` lists it."""
        found = await self.find_machine(pallet, machine_id)
        if found is None or not found.gpus:
            return None
        stocked = await self._load_stock(pallet, [found], *block_hash)
        return stocked[0] if stocked else None

    async def _load_stock(
        self, pallet: Pallet, machines: Sequence[wire.ChainMachine], *block_hash: str
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
        found = await self.get_storage([standard, *extra.values(), *taken.values()], *block_hash)
        points, day = wire.parse_point_price(found[standard])
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
                    extra=wire.parse_uint(found[extra[m.id]], 8) or 0,
                ),
                rented_gpus=wire.parse_uint(found[taken[m.id]], 4) or 0,
            )
            for m in machines
        ]

    # orders

    async def list_order_ids(self, pallet: Pallet, address: str, *block_hash: str) -> list[int]:
        return wire.parse_numbers(await self._query(f"{pallet.rpc_prefix}_getRentList", address, *block_hash))

    async def find_order(self, pallet: Pallet, number: int, *block_hash: str) -> wire.ChainOrder | None:
        raw = await self._query(f"{pallet.rpc_prefix}_getRentOrder", number, *block_hash, absent=_NOT_FOUND)
        return None if raw is None else wire.parse_order(number, raw)


def make_offer(pallet: Pallet, stock: MachineStock, fee: int) -> Offer:
    """Convert ``stock`` to an offer; ``fee`` is what each order costs extra, in 10^-15 DBC.

    The price is in USD per GPU; the bill has the exact amount.
    """
    machine = stock.machine
    hourly = (Decimal(stock.tariff.price_per_day(1)) / (24 * 10**6)).quantize(_PRICE_STEP, ROUND_UP)
    refund = _("unused rent is refunded") if pallet.is_refundable else _("no refund once confirmed")
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
        available=stock.free > 0,
        note=_("{refund}; each order costs an extra {fee}").format(refund=refund, fee=wire.to_money(fee)),
        provider_data={"registry": pallet.rpc_prefix, "gpus": str(machine.gpus)},
    )

"""The node's JSON-RPC, as far as it is used here. Storage is served from the same hashed keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpurent_plugin_dbcchain import scale
from gpurent_plugin_dbcchain.chain_client import TIMESTAMP_KEY
from gpurent_plugin_dbcchain.extrinsic import PALLETS
from gpurent_plugin_dbcchain.keys import ss58_decode, ss58_encode
from gpurent_plugin_dbcchain.scale import encode_uint
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain, compute_network_fee
from gpurent_plugin_dbcchain.simulator.pallets import SPEC_VERSION, STANDARD_PRICE, TX_VERSION, ChainState

SUBSTRATE_METHODS = (
    "chain_getHeader",
    "chain_getFinalizedHead",
    "chain_getBlockHash",
    "chain_getBlock",
    "state_getRuntimeVersion",
    "state_queryStorageAt",
    "system_accountNextIndex",
    "payment_queryInfo",
    "author_submitExtrinsic",
)
PALLET_METHODS = (
    *(
        f"{p.machines_rpc_prefix}_{name}"
        for p in PALLETS.values()
        for name in ("getMachineList", "getMachineInfo")
    ),
    *(f"{p.rpc_prefix}_{name}" for p in PALLETS.values() for name in ("getRentOrder", "getRentList")),
)
_NOT_FOUND = InvalidExtrinsic(-32603, "Something wrong", "NotFound")


class NodeRpc:
    """Handles one call at a time; ``at`` is a block hash, or None for the newest."""

    def __init__(self, chain: SimulatedChain) -> None:
        self._chain = chain

    def call_method(self, method: str, params: list[Any]) -> Any:
        if method not in SUBSTRATE_METHODS + PALLET_METHODS:
            raise InvalidExtrinsic(-32601, "Method not found", "")
        prefix, _, name = method.partition("_")
        pallet = [prefix] if method in PALLET_METHODS else []
        answer: Callable[..., Any] = getattr(self, f"_{name}")
        return answer(*pallet, *params)

    def _get_block_number(self, at: str | None) -> int:
        return self._chain.newest_block if at is None else self._chain.history.get_block_number(at)

    def _get_state(self, at: str | None) -> ChainState:
        return self._chain.history.get_state(self._get_block_number(at))

    # blocks

    def _getHeader(self, at: str | None = None) -> Any:  # noqa: N802 - as the method is called
        block = self._get_block_number(at)
        return {"number": hex(block), "parentHash": self._chain.history.get_block_hash(block - 1)}

    def _getFinalizedHead(self) -> str:  # noqa: N802
        return self._chain.history.get_block_hash(self._chain.final_block)

    def _getBlockHash(self, block: int) -> str | None:  # noqa: N802
        return self._chain.history.get_block_hash(block) if block <= self._chain.newest_block else None

    def _getBlock(self, at: str | None = None) -> Any:  # noqa: N802
        bodies = ["0x" + body.hex() for body in self._chain.list_extrinsics(self._get_block_number(at))]
        return {"block": {"header": self._getHeader(at), "extrinsics": bodies}, "justifications": None}

    def _getRuntimeVersion(self) -> Any:  # noqa: N802
        return {"specName": "dbc-chain", "specVersion": SPEC_VERSION, "transactionVersion": TX_VERSION}

    # accounts

    def _accountNextIndex(self, account: str) -> int:  # noqa: N802
        return self._chain.get_next_nonce(ss58_decode(account))

    def _queryInfo(self, body: str, at: str | None = None) -> Any:  # noqa: N802
        return {
            "weight": {"ref_time": 125_010_000, "proof_size": 0},
            "class": "normal",
            "partialFee": str(compute_network_fee(bytes.fromhex(body[2:]))),
        }

    def _submitExtrinsic(self, body: str) -> str:  # noqa: N802
        return self._chain.submit(bytes.fromhex(body[2:]))

    # storage

    def _queryStorageAt(self, keys: list[str], at: str | None = None) -> Any:  # noqa: N802
        block, values = self._get_block_number(at), self._build_storage(at)
        changes = [[key, "0x" + values[key].hex() if key in values else None] for key in keys]
        return [{"block": self._chain.history.get_block_hash(block), "changes": changes}]

    def _build_storage(self, at: str | None) -> dict[str, bytes]:
        block, state = self._get_block_number(at), self._get_state(at)
        found = {
            scale.AVERAGE_PRICE_KEY: encode_uint(state.average, 8),
            scale.FIXED_FEE_KEY: encode_uint(state.fee, 16),
            TIMESTAMP_KEY: encode_uint(round(self._chain.get_block_time(block).timestamp() * 1000), 8),
        }
        if block in self._chain.history.events:
            found[scale.EVENTS_KEY] = self._chain.history.events[block]
        for public, account in state.accounts.items():
            counters = (
                encode_uint(account.nonce, 4) + encode_uint(0, 4) + encode_uint(1, 4) + encode_uint(0, 4)
            )
            amounts = (
                encode_uint(account.free, 16)
                + encode_uint(account.reserved, 16)
                + encode_uint(0, 16)
                + encode_uint(1 << 127, 16)
            )
            found[scale.storage_key("System", "Account", public)] = counters + amounts
        for pallet in PALLETS.values():
            found[scale.storage_key(pallet.machines_pallet, "StandardGPUPointPrice")] = b"".join(
                encode_uint(value, 8) for value in STANDARD_PRICE
            )
        for host in state.hosts.values():
            for item, value in (
                ("MachineExtraPrice", encode_uint(host.extra, 8)),
                ("MachineRentedGPU", encode_uint(state.count_rented_gpus(host), 4)),
            ):
                found[scale.machine_storage_key(host.pallet.machines_pallet, item, host.id)] = value
        return found

    # machines and orders

    def _getMachineList(self, listing: str, at: str | None = None) -> Any:  # noqa: N802
        mine = [
            host for host in self._get_state(at).hosts.values() if host.pallet.machines_rpc_prefix == listing
        ]
        return {
            "bondingMachine": [],
            "onlineMachine": [host.id for host in mine if host.status == "online"],
            "rentedMachine": [host.id for host in mine if host.status == "rented"],
            "offlineMachine": [host.id for host in mine if isinstance(host.status, dict)],
        }

    def _getMachineInfo(self, listing: str, machine: str, at: str | None = None) -> Any:  # noqa: N802
        host = self._get_state(at).hosts.get(machine)
        if host is None or host.pallet.machines_rpc_prefix != listing:
            raise _NOT_FOUND
        stash = ss58_encode(bytes.fromhex(host.id))
        return {
            "controller": stash,
            "machineStash": stash,
            "renters": [],
            "machineStatus": host.status,
            "totalRentedTimes": 3,
            "machineInfoDetail": {
                "committee_upload_info": {
                    "machine_id": host.id,
                    "gpu_type": host.gpu,
                    "gpu_num": host.gpus,
                    "cuda_core": 10_496,
                    "gpu_mem": host.memory,
                    "calc_point": host.points,
                    "sys_disk": 480,
                    "data_disk": 3905,
                    "cpu_type": "Intel(R) Xeon(R) Silver 4214R",
                    "cpu_core_num": 12 * host.gpus,
                    "cpu_rate": 2400,
                    "mem_num": 64 * host.gpus,
                    "rand_str": "abcdefg1",
                    "is_support": True,
                },
                "staker_customize_info": {
                    "upload_net": 100,
                    "download_net": 100,
                    "telecom_operators": ["china"],
                },
            },
        }

    def _getRentOrder(self, registry: str, number: int, at: str | None = None) -> Any:  # noqa: N802
        order = self._get_state(at).orders.get((registry, number))
        if order is None:
            raise _NOT_FOUND
        return {
            "machineId": order.machine,
            "renter": ss58_encode(order.renter),
            "rentStart": order.start,
            "confirmRent": order.confirmed,
            "rentEnd": order.end,
            "stakeAmount": str(order.stake),
            "rentStatus": order.status,
            "gpuNum": order.gpus,
            "gpuIndex": list(range(order.gpus)),
        }

    def _getRentList(self, registry: str, account: str, at: str | None = None) -> list[int]:  # noqa: N802
        renter = ss58_decode(account)
        orders = self._get_state(at).orders.values()
        return sorted(
            order.id for order in orders if (order.pallet.rpc_prefix, order.renter) == (registry, renter)
        )

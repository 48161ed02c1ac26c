"""The node's JSON-RPC, as much of it as is asked here. Storage is answered from the same hashed keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpurent_plugin_dbcchain import scale
from gpurent_plugin_dbcchain.chain import NOW
from gpurent_plugin_dbcchain.extrinsic import PALLETS
from gpurent_plugin_dbcchain.keys import address, public_of
from gpurent_plugin_dbcchain.scale import uint
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain, fee_of
from gpurent_plugin_dbcchain.simulator.pallets import SPEC, STANDARD, TX, ChainState

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
    *(f"{p.listing}_{name}" for p in PALLETS.values() for name in ("getMachineList", "getMachineInfo")),
    *(f"{p.rpc}_{name}" for p in PALLETS.values() for name in ("getRentOrder", "getRentList")),
)
_ABSENT = InvalidExtrinsic(-32603, "Something wrong", "NotFound")


class NodeRpc:
    """Answers one call at a time; ``at`` is a block's hash, left out for the newest."""

    def __init__(self, chain: SimulatedChain) -> None:
        self._chain = chain

    def call(self, method: str, params: list[Any]) -> Any:
        if method not in SUBSTRATE_METHODS + PALLET_METHODS:
            raise InvalidExtrinsic(-32601, "Method not found", "")
        prefix, _, name = method.partition("_")
        pallet = [prefix] if method in PALLET_METHODS else []
        answer: Callable[..., Any] = getattr(self, f"_{name}")
        return answer(*pallet, *params)

    def _block(self, at: str | None) -> int:
        return self._chain.newest if at is None else self._chain.history.number(at)

    def _state(self, at: str | None) -> ChainState:
        return self._chain.history.at(self._block(at))

    # blocks

    def _getHeader(self, at: str | None = None) -> Any:  # noqa: N802 - as the method is called
        block = self._block(at)
        return {"number": hex(block), "parentHash": self._chain.history.hash(block - 1)}

    def _getFinalizedHead(self) -> str:  # noqa: N802
        return self._chain.history.hash(self._chain.final)

    def _getBlockHash(self, block: int) -> str | None:  # noqa: N802
        return self._chain.history.hash(block) if block <= self._chain.newest else None

    def _getBlock(self, at: str | None = None) -> Any:  # noqa: N802
        bodies = ["0x" + body.hex() for body in self._chain.extrinsics(self._block(at))]
        return {"block": {"header": self._getHeader(at), "extrinsics": bodies}, "justifications": None}

    def _getRuntimeVersion(self) -> Any:  # noqa: N802
        return {"specName": "dbc-chain", "specVersion": SPEC, "transactionVersion": TX}

    # accounts

    def _accountNextIndex(self, account: str) -> int:  # noqa: N802
        return self._chain.next_nonce(public_of(account))

    def _queryInfo(self, body: str, at: str | None = None) -> Any:  # noqa: N802
        return {
            "weight": {"ref_time": 125_010_000, "proof_size": 0},
            "class": "normal",
            "partialFee": str(fee_of(bytes.fromhex(body[2:]))),
        }

    def _submitExtrinsic(self, body: str) -> str:  # noqa: N802
        return self._chain.submit(bytes.fromhex(body[2:]))

    # storage

    def _queryStorageAt(self, keys: list[str], at: str | None = None) -> Any:  # noqa: N802
        block, values = self._block(at), self._values(at)
        changes = [[key, "0x" + values[key].hex() if key in values else None] for key in keys]
        return [{"block": self._chain.history.hash(block), "changes": changes}]

    def _values(self, at: str | None) -> dict[str, bytes]:
        block, state = self._block(at), self._state(at)
        found = {
            scale.AVERAGE: uint(state.average, 8),
            scale.FIXED_FEE: uint(state.fee, 16),
            NOW: uint(round(self._chain.when(block).timestamp() * 1000), 8),
        }
        if block in self._chain.history.events:
            found[scale.EVENTS] = self._chain.history.events[block]
        for public, account in state.accounts.items():
            counters = uint(account.nonce, 4) + uint(0, 4) + uint(1, 4) + uint(0, 4)
            amounts = uint(account.free, 16) + uint(account.reserved, 16) + uint(0, 16) + uint(1 << 127, 16)
            found[scale.storage_key("System", "Account", public)] = counters + amounts
        for pallet in PALLETS.values():
            found[scale.storage_key(pallet.machines, "StandardGPUPointPrice")] = b"".join(
                uint(value, 8) for value in STANDARD
            )
        for host in state.hosts.values():
            for item, value in (
                ("MachineExtraPrice", uint(host.extra, 8)),
                ("MachineRentedGPU", uint(state.rented(host), 4)),
            ):
                found[scale.machine_key(host.pallet.machines, item, host.id)] = value
        return found

    # machines and orders

    def _getMachineList(self, listing: str, at: str | None = None) -> Any:  # noqa: N802
        mine = [host for host in self._state(at).hosts.values() if host.pallet.listing == listing]
        return {
            "bondingMachine": [],
            "onlineMachine": [host.id for host in mine if host.status == "online"],
            "rentedMachine": [host.id for host in mine if host.status == "rented"],
            "offlineMachine": [host.id for host in mine if isinstance(host.status, dict)],
        }

    def _getMachineInfo(self, listing: str, machine: str, at: str | None = None) -> Any:  # noqa: N802
        host = self._state(at).hosts.get(machine)
        if host is None or host.pallet.listing != listing:
            raise _ABSENT
        stash = address(bytes.fromhex(host.id))
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
        order = self._state(at).orders.get((registry, number))
        if order is None:
            raise _ABSENT
        return {
            "machineId": order.machine,
            "renter": address(order.renter),
            "rentStart": order.start,
            "confirmRent": order.confirmed,
            "rentEnd": order.end,
            "stakeAmount": str(order.stake),
            "rentStatus": order.status,
            "gpuNum": order.gpus,
            "gpuIndex": list(range(order.gpus)),
        }

    def _getRentList(self, registry: str, account: str, at: str | None = None) -> list[int]:  # noqa: N802
        renter = public_of(account)
        orders = self._state(at).orders.values()
        return sorted(order.id for order in orders if (order.pallet.rpc, order.renter) == (registry, renter))

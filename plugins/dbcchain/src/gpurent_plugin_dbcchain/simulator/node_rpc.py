"""The node's JSON-RPC, as much of it as is asked here. Storage is answered from the same hashed keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_dbcchain import storage
from gpurent_plugin_dbcchain.base58 import address, public_of
from gpurent_plugin_dbcchain.calls import PALLETS
from gpurent_plugin_dbcchain.chain import NOW
from gpurent_plugin_dbcchain.scale import uint
from gpurent_plugin_dbcchain.simulator.chain import InvalidExtrinsic, SimulatedChain, fee_of
from gpurent_plugin_dbcchain.simulator.state import SPEC, STANDARD, TX, ChainState, ListedHost, Tenancy

_SUBSTRATE = Evidence.DOCUMENTED
METHODS: dict[str, Evidence] = {
    "chain_getHeader": _SUBSTRATE,
    "chain_getFinalizedHead": _SUBSTRATE,
    "chain_getBlockHash": _SUBSTRATE,
    "chain_getBlock": _SUBSTRATE,
    "state_getRuntimeVersion": _SUBSTRATE,
    "state_queryStorageAt": _SUBSTRATE,
    "system_accountNextIndex": _SUBSTRATE,
    "payment_queryInfo": _SUBSTRATE,
    "author_submitExtrinsic": _SUBSTRATE,
    **{
        f"{pallet.listing}_{name}": Evidence.SOURCE
        for pallet in PALLETS.values()
        for name in ("getMachineList", "getMachineInfo")
    },
    **{
        f"{pallet.rpc}_{name}": Evidence.SOURCE
        for pallet in PALLETS.values()
        for name in ("getRentOrder", "getRentList", "isMachineRenter", "getMachineRentId")
    },
}
_ABSENT = InvalidExtrinsic(-32603, "Something wrong", "NotFound")


class NodeRpc:
    """Answers one call at a time; ``at`` is a block's hash, left out for the newest."""

    def __init__(self, chain: SimulatedChain) -> None:
        self._chain = chain

    def call(self, method: str, params: list[Any]) -> Any:
        if method not in METHODS:
            raise InvalidExtrinsic(-32601, "Method not found", "")
        prefix, _, name = method.partition("_")
        if prefix in PALLETS and name in _ORDERS:
            return _ORDERS[name](self, prefix, *params)
        if name in _MACHINES:
            return _MACHINES[name](self, prefix, *params)
        plain: Callable[..., Any] = getattr(self, f"_{name}")
        return plain(*params)

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
        fee = fee_of(bytes.fromhex(body[2:]))
        return {
            "weight": {"ref_time": 125_010_000, "proof_size": 0},
            "class": "normal",
            "partialFee": str(fee),
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
            storage.AVERAGE: uint(state.average, 8),
            storage.FIXED_FEE: uint(state.fee, 16),
            NOW: uint(round(self._chain.when(block).timestamp() * 1000), 8),
        }
        if block in self._chain.history.events:
            found[storage.EVENTS] = self._chain.history.events[block]
        for public, account in state.accounts.items():
            counters = uint(account.nonce, 4) + uint(0, 4) + uint(1, 4) + uint(0, 4)
            amounts = uint(account.free, 16) + uint(account.reserved, 16) + uint(0, 16) + uint(1 << 127, 16)
            found[storage.account_key(public)] = counters + amounts
        for pallet in PALLETS.values():
            found[storage.key(pallet.machines, "StandardGPUPointPrice")] = b"".join(
                uint(value, 8) for value in STANDARD
            )
        for host in state.hosts.values():
            for item, value in (
                ("MachineExtraPrice", uint(host.extra, 8)),
                ("MachineRentedGPU", uint(state.rented(host), 4)),
            ):
                found[storage.machine_key(host.pallet.machines, item, host.id)] = value
        return found

    # machines and orders

    def _machine_list(self, listing: str, at: str | None = None) -> Any:
        mine = [host for host in self._state(at).hosts.values() if host.pallet.listing == listing]

        def names(status: str) -> list[str]:
            return [host.id for host in mine if host.status == status]

        return {
            "bondingMachine": [],
            "onlineMachine": names("online"),
            "rentedMachine": names("rented"),
            "offlineMachine": [host.id for host in mine if isinstance(host.status, dict)],
        }

    def _machine_info(self, listing: str, machine: str, at: str | None = None) -> Any:
        host = self._state(at).hosts.get(machine)
        if host is None or host.pallet.listing != listing:
            raise _ABSENT
        return _shown_host(host)

    def _order(self, registry: str, number: int, at: str | None = None) -> Any:
        order = self._state(at).orders.get((registry, number))
        if order is None:
            raise _ABSENT
        return _shown_order(order)

    def _order_list(self, registry: str, account: str, at: str | None = None) -> list[int]:
        renter = public_of(account)
        orders = self._state(at).orders.values()
        return sorted(order.id for order in orders if (order.pallet.rpc, order.renter) == (registry, renter))

    def _is_renter(self, registry: str, machine: str, account: str, at: str | None = None) -> bool:
        state = self._state(at)
        return any(
            state.orders[registry, number].machine == machine
            for number in self._order_list(registry, account, at)
        )

    def _of_machine(self, registry: str, machine: str, at: str | None = None) -> Any:
        orders = [
            order
            for order in self._state(at).orders.values()
            if (order.pallet.rpc, order.machine) == (registry, machine)
        ]
        return {
            "rentOrder": sorted(order.id for order in orders),
            "usedGpu": list(range(sum(order.gpus for order in orders))),
        }


_MACHINES: dict[str, Callable[..., Any]] = {
    "getMachineList": NodeRpc._machine_list,
    "getMachineInfo": NodeRpc._machine_info,
}
_ORDERS: dict[str, Callable[..., Any]] = {
    "getRentOrder": NodeRpc._order,
    "getRentList": NodeRpc._order_list,
    "isMachineRenter": NodeRpc._is_renter,
    "getMachineRentId": NodeRpc._of_machine,
}


def _shown_host(host: ListedHost) -> dict[str, Any]:
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
            "staker_customize_info": {"upload_net": 100, "download_net": 100, "telecom_operators": ["china"]},
        },
    }


def _shown_order(order: Tenancy) -> dict[str, Any]:
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

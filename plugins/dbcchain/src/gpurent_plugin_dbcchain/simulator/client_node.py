"""The simulated client node: single-use nonces, signatures, and real machines on rented hosts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from gpurent.api import SandboxMachine
from gpurent_plugin_dbcchain.keys import base58check_decode, ss58_decode, verify
from gpurent_plugin_dbcchain.simulator.chain import SimulatedChain
from gpurent_plugin_dbcchain.simulator.pallets import SimulatedOrder

FILE_RETENTION = timedelta(days=10)
SSH_USER = "dbc"
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SIZE_FIELDS = ("gpu_count", "cpu_cores", "mem_size", "disk_size")
IMAGES = ("win10-22h2.qcow2", "ubuntu-22.04-cuda-12.2.qcow2")


class ClientNodeRefusal(Exception):
    """The client node refuses a request; the text goes into its response."""


@define
class Vm:
    """A virtual machine of an order."""

    id: str
    registry: str
    order: int
    label: str
    gpus: int
    created_at: datetime
    password: str
    status: str = "creating"
    sandbox_machine: SandboxMachine | None = None
    kept_until: datetime | None = None

    @property
    def disk_id(self) -> str:
        return f"dbc-{self.registry}-{self.order}-{self.id}"


class ClientNodeServer:
    """The simulated client node. Settings: ``boot``, the seconds a machine takes to boot; ``stuck``: it never does."""

    def __init__(self, chain: SimulatedChain) -> None:
        self._chain = chain
        self._nonces: set[str] = set()
        self.vms: dict[str, Vm] = {}
        # Of deleted machines too, by ``registry:order``.
        self.labels_by_order: dict[str, set[str]] = {}
        settings = chain.context.settings
        self._boot_duration = timedelta(seconds=int(settings.get("boot", "60")))
        self._is_stuck = settings.get("stuck") == "yes"

    async def handle_request(self, path: str, given: Mapping[str, Any]) -> Any:
        order = self._get_order(given)
        parts = path.strip("/").split("/")
        if parts == ["mining_nodes"]:
            return {"version": "0.4.2.0", "images": [{"image_name": name} for name in IMAGES]}
        if parts == ["tasks", "start"]:
            return self._create_vm(order, given["additional"])
        mine = {vm.id: vm for vm in self._list_vms(order)}
        if parts == ["tasks"]:
            return [_task_json(vm) for vm in mine.values()]
        if parts[0] != "tasks" or parts[-1] not in mine:
            raise ClientNodeRefusal("task_id not exist")
        vm = mine[parts[-1]]
        if len(parts) == 2:
            return _task_detail_json(vm)
        if parts[1] != "delete":
            raise ClientNodeRefusal("not now")
        await self._stop_vm(vm)
        await self._erase_vm(vm)
        return "ok"

    # authentication

    def _get_order(self, given: Mapping[str, Any]) -> SimulatedOrder:
        """Return the order, if the caller proves to be its renter."""
        public = self._verify_signer(given)
        (machine,) = given["peer_nodes_list"]
        for (_registry, number), order in self._chain.state.orders.items():
            if (str(number), order.machine, order.renter) == (given["rent_order"], machine, public):
                return order
        raise ClientNodeRefusal("check authority failed: no running order")

    def _verify_signer(self, given: Mapping[str, Any]) -> bytes:
        nonce, sign = str(given["nonce"]), str(given["sign"]).removeprefix("0x")
        try:
            public = ss58_decode(str(given["wallet"]))
            fresh = _UUID.fullmatch(base58check_decode(nonce)) is not None
        except ValueError:
            raise ClientNodeRefusal("wallet or nonce is invalid") from None
        if not fresh or not verify(public, nonce.encode(), bytes.fromhex(sign)):
            raise ClientNodeRefusal("verify sign failed")
        if nonce in self._nonces:
            raise ClientNodeRefusal("nonce is already exist")
        self._nonces.add(nonce)
        return public

    # requests

    def _list_vms(self, order: SimulatedOrder) -> list[Vm]:
        key = (order.pallet.rpc_prefix, order.id)
        return [vm for vm in self.vms.values() if (vm.registry, vm.order) == key]

    def _create_vm(self, order: SimulatedOrder, request: Mapping[str, Any]) -> Any:
        if not all(isinstance(request[name], str) and request[name].isdigit() for name in _SIZE_FIELDS):
            raise ClientNodeRefusal("sizes must be numbers in text")
        if request["image_name"] not in IMAGES or request["operation_system"] != "linux":
            raise ClientNodeRefusal("image not exist")
        used = sum(vm.gpus for vm in self._list_vms(order))
        if not 1 <= int(request["gpu_count"]) <= order.gpus - used:
            raise ClientNodeRefusal("gpu_count is larger than what is rented")
        vm = Vm(
            id=secrets.token_hex(8),
            registry=order.pallet.rpc_prefix,
            order=order.id,
            label=str(request["desc"]),
            gpus=int(request["gpu_count"]),
            created_at=self._chain.context.clock.now(),
            password=secrets.token_urlsafe(9),
        )
        self.vms[vm.id] = vm
        self.labels_by_order.setdefault(f"{vm.registry}:{vm.order}", set()).add(vm.label)
        return _task_json(vm)

    async def _erase_vm(self, vm: Vm) -> None:
        del self.vms[vm.id]
        await self._chain.context.machines.delete_disk(vm.disk_id)

    # time

    async def catch_up(self) -> None:
        """Start machines whose boot time is over, stop expired ones, delete those whose retention has ended."""
        now, orders = self._chain.context.clock.now(), self._chain.state.orders
        for vm in list(self.vms.values()):
            order = orders.get((vm.registry, vm.order))
            if order is None and vm.kept_until is None:
                await self._stop_vm(vm)
                vm.kept_until = now + FILE_RETENTION
            if vm.kept_until is not None and vm.kept_until <= now:
                await self._erase_vm(vm)
            elif (
                vm.status == "creating" and not self._is_stuck and vm.created_at + self._boot_duration <= now
            ):
                vm.sandbox_machine = await self._chain.context.machines.boot(
                    user=SSH_USER, password=vm.password, hostname=f"dbc-{vm.id[:8]}", data=vm.disk_id
                )
                vm.status = "running"

    async def _stop_vm(self, vm: Vm) -> None:
        live, vm.sandbox_machine, vm.status = vm.sandbox_machine, None, "closed"
        if live is not None:
            await self._chain.context.machines.kill(live.id)


def _task_json(vm: Vm) -> dict[str, Any]:
    created = vm.created_at.strftime("%Y-%m-%d %H:%M:%S")
    return {"task_id": vm.id, "create_time": created, "desc": vm.label, "status": vm.status}


def _task_detail_json(vm: Vm) -> dict[str, Any]:
    live = (
        {}
        if vm.sandbox_machine is None
        else {"ssh_ip": vm.sandbox_machine.host, "ssh_port": str(vm.sandbox_machine.port)}
    )
    return {
        **_task_json(vm),
        "os": "linux",
        **live,
        "user_name": SSH_USER,
        "login_password": vm.password,
        "gpu_count": vm.gpus,
        "rent_order": str(vm.order),
    }

"""The fake service's routes from the draft of an order, or of more time on it, to its lists."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from gpurent_plugin_gpu1024.simulator.books import Gpu1024Books, ServiceRefusal
from gpurent_plugin_gpu1024.simulator.records import (
    KIB_IN_GIB,
    UNIT,
    ContainerOrder,
    GpuHost,
    OrderRenewal,
    deposit,
    number,
    rent,
    shown_machine,
    shown_order,
    shown_renewal,
)

Params = Mapping[str, str]
WORKING = (2, "", None)
LARGEST = 400 * KIB_IN_GIB
DISKS, MEMORIES = (30, 60, 100, 200), (5, 10, 20)


class OrderRoutes:
    """One route a method: parameters in, ``content`` or ``(status, msg, content)`` out; a no is `ServiceRefusal`."""

    def __init__(self, books: Gpu1024Books) -> None:
        self._books = books

    def _machine(self, given: Params) -> GpuHost:
        machine = self._books.machines.get(given["machine_id"])
        if machine is None:
            raise ServiceRefusal("机器不存在")
        return machine

    def _order(self, given: Params) -> ContainerOrder:
        return self._books.order(given.get("order_id") or given["order_id_new"])

    def _shown(self, machine: GpuHost) -> Any:
        return shown_machine(machine, self._books.free(machine))

    async def machines(self, given: Params) -> Any:
        return [self._shown(machine) for machine in self._books.machines.values()]

    async def machine(self, given: Params) -> Any:
        return self._shown(self._machine(given))

    # drafts

    async def _draft(self, given: Params, kind: str, mode: str, before: str = "") -> Any:
        books, wallet = self._books, given["wallet_address_user"]
        if wallet not in books.emails:
            raise ServiceRefusal("请先绑定邮箱")
        machine = self._machine(given)
        if kind == "gpu" and books.free(machine) < 1:
            raise ServiceRefusal("机器已被租用")
        order = ContainerOrder(
            id=secrets.token_hex(12),
            wallet=wallet,
            machine=machine,
            kind=kind,
            mode=mode,
            code=(secrets.randbelow(8999) + 1000) * UNIT // 10**4,
            price=await books.price(),
            before=before,
        )
        order.data = books.orders[before].data if before else f"dbc-{order.id}"
        books.orders[order.id] = order
        return {
            "order_id": order.id,
            "dbc_price": float(order.price),
            "gpu_price_dollar": float(machine.price),
            "code": str(number(order.code)),
            "time_max": 43200,
            "gpu_count_max": machine.gpus,
            "images_tag": "pytorch 1.1+tensorflow 1.14@pytorch 1.2",
            "diskspace_giving": 30 * KIB_IN_GIB,
            "order_id_pre": before or None,
        }

    async def place_order(self, given: Params) -> Any:
        return await self._draft(given, "gpu", "payment")

    async def place_order_cpu(self, given: Params) -> Any:
        if given["mode"] != "deposit":
            raise ServiceRefusal("只支持质押方式")
        return await self._draft(given, "cpu", "deposit")

    async def place_order_cpu_to_gpu(self, given: Params) -> Any:
        before = self._books.orders.get(given["order_id_pre"])
        if (
            before is None
            or before.wallet != given["wallet_address_user"]
            or before.over
            or not before.rented
        ):
            raise ServiceRefusal("CPU 容器不存在")
        if before.machine.id != given["machine_id"]:
            raise ServiceRefusal("容器不在这台机器上")
        return await self._draft(given, "gpu", "payment", before.id)

    # prices

    async def dbc_price(self, given: Params) -> Any:
        return float(self._order(given).price)

    async def pay_dbc_count(self, given: Params) -> Any:
        order = self._order(given)
        return number(
            rent(
                order.machine,
                int(given["gpu_count"]),
                int(given["rent_time_length"]),
                order.price,
                int(given["diskspace"]),
            )
        )

    async def disk_list(self, given: Params) -> Any:
        self._machine(given)
        return [{"capacity": size * KIB_IN_GIB} for size in DISKS]

    async def memory_list(self, given: Params) -> Any:
        self._machine(given)
        return [{"capacity": size * KIB_IN_GIB} for size in MEMORIES]

    async def deposit_count(self, given: Params) -> Any:
        self._order(given)
        return number(deposit(int(given["diskspace"]), int(given["memory"])))

    # creating and paying

    async def create_order(self, given: Params) -> Any:
        order, books = self._order(given), self._books
        if order.created:
            return True
        gpus, minutes = int(given["gpu_count"]), int(given["rent_time_length"])
        disk = int(given["diskspace"])
        if disk < 0 or disk > LARGEST:
            raise ServiceRefusal("磁盘空间不足")
        if minutes < 60 or minutes > 43200:
            raise ServiceRefusal("租用时间不正确")
        if order.kind == "gpu":
            if gpus < 1 or books.free(order.machine) < gpus:
                raise ServiceRefusal("机器已被租用")
            units = rent(order.machine, gpus, minutes, order.price, disk)
        else:
            gpus, order.memory = 0, int(given["memory"])
            units = deposit(disk, order.memory)
        order.gpus, order.disk, order.terms = gpus, disk, [(minutes, units)]
        order.created_at = books.now
        order.address = (await books.ask_ledger("POST", "/sandbox/platform/address"))["address"]
        return True

    async def can_rent(self, given: Params) -> Any:
        order = self._order(given)
        if order.cancelled:
            raise ServiceRefusal("订单已取消")
        if order.created and order.asked_at is None:
            order.asked_at = self._books.now
        return WORKING if order.container_at is None else True

    async def address(self, given: Params) -> Any:
        order = self._order(given)
        if not order.created or order.cancelled:
            raise ServiceRefusal("订单不能支付")
        return order.address

    async def switched(self, given: Params) -> Any:
        order = self._order(given)
        return True if order.live is not None else WORKING

    # lists

    def _rows(self, given: Params, listed: Callable[[ContainerOrder], bool]) -> Any:
        """As the web client reads them: the order, and its machine beside it."""
        books, wallet = self._books, given["wallet_address_user"]
        return [
            {"orderData": shown_order(order, books.now), "mcData": self._shown(order.machine)}
            for order in books.orders.values()
            if order.wallet == wallet and order.created and listed(order)
        ]

    async def all_gpu(self, given: Params) -> Any:
        return self._rows(given, lambda order: order.kind == "gpu")

    async def all_cpu(self, given: Params) -> Any:
        return self._rows(given, lambda order: order.kind == "cpu")

    async def all_stopped(self, given: Params) -> Any:
        return self._rows(given, lambda order: order.kept_until is not None)

    # more time

    async def renewal_place(self, given: Params) -> Any:
        order = self._order(given)
        if not order.rented or order.over:
            raise ServiceRefusal("订单已结束")
        renewal = OrderRenewal(
            id=secrets.token_hex(12),
            order=order,
            code=(secrets.randbelow(8999) + 1000) * UNIT // 10**4,
            price=await self._books.price(),
        )
        self._books.renewals[renewal.id] = renewal
        return {
            "continue_pay_order_id": renewal.id,
            "gpu_price_dollar": float(order.machine.price),
            "gpu_count": order.gpus,
            "disk_dollar": 0,
            "code": str(number(renewal.code)),
            "time_max": 43200,
        }

    async def renewal_price(self, given: Params) -> Any:
        return float(self._books.renewal(given["continue_pay_order_id"]).price)

    def _renewal_count(self, renewal: OrderRenewal, given: Params) -> int:
        order = renewal.order
        if order.mode == "deposit":
            return 0
        minutes = int(given["rent_time_length"])
        if minutes < 60 or minutes > 43200:
            raise ServiceRefusal("续租时间不正确")
        return rent(order.machine, order.gpus, minutes, renewal.price, order.disk)

    async def renewal_count(self, given: Params) -> Any:
        return number(self._renewal_count(self._books.renewal(given["continue_pay_order_id"]), given))

    async def renewal_create(self, given: Params) -> Any:
        renewal = self._books.renewal(given["continue_pay_order_id"])
        if renewal.order.over:
            raise ServiceRefusal("订单已结束")
        if renewal.created_at is None:
            renewal.total, renewal.minutes = (
                self._renewal_count(renewal, given),
                int(given["rent_time_length"]),
            )
            renewal.created_at = self._books.now
        return True

    async def renewals(self, given: Params) -> Any:
        order = self._order(given)
        return [
            shown_renewal(renewal)
            for renewal in self._books.renewals.values()
            if renewal.order is order and renewal.created_at is not None
        ]

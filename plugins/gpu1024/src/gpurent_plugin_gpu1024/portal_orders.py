"""The fake service's routes for orders and their payment."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from gpurent_plugin_gpu1024.portal_books import WINDOW, Books, Refused
from gpurent_plugin_gpu1024.portal_state import (
    KIB_IN_GIB,
    UNIT,
    Machine,
    Order,
    deposit,
    number,
    rent,
    shown_machine,
    shown_order,
)

Params = Mapping[str, str]
WORKING = (2, "", None)
DISKS, MEMORIES = (30, 60, 100, 200), (5, 10, 20)


class OrderDesk:
    """Each method is one route: parameters in, ``content`` or ``(status, msg, content)`` out; no is `Refused`."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def _machine(self, given: Params) -> Machine:
        machine = self._books.machines.get(given["machine_id"])
        if machine is None:
            raise Refused("机器不存在")
        return machine

    def order(self, given: Params) -> Order:
        order = self._books.orders.get(given["order_id"])
        if order is None:
            raise Refused("订单不存在")
        return order

    async def machines(self, given: Params) -> Any:
        return [
            shown_machine(machine, machine.gpus - machine.taken - self._books.free(machine))
            for machine in self._books.machines.values()
        ]

    async def machine(self, given: Params) -> Any:
        machine = self._machine(given)
        return shown_machine(machine, machine.gpus - machine.taken - self._books.free(machine))

    # drafts

    async def _draft(self, given: Params, kind: str, mode: str, before: str = "") -> Any:
        books, wallet = self._books, given["wallet_address_user"]
        if wallet not in books.emails:
            raise Refused("请先绑定邮箱")
        machine = self._machine(given)
        if kind == "gpu" and books.free(machine) < 1:
            raise Refused("机器已被租用")
        order = Order(
            id=secrets.token_hex(12),
            wallet=wallet,
            machine=machine,
            kind=kind,
            mode=mode,
            code=(secrets.randbelow(8999) + 1000) * UNIT // 10**4,
            price=await books.price(),
            before=before,
            drafted_at=books.now,
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
            raise Refused("只支持质押方式")
        return await self._draft(given, "cpu", "deposit")

    async def place_order_cpu_to_gpu(self, given: Params) -> Any:
        before = self._books.orders.get(given["order_id_pre"])
        if (
            before is None
            or before.wallet != given["wallet_address_user"]
            or before.over
            or not before.rented
        ):
            raise Refused("CPU 容器不存在")
        if before.machine.id != given["machine_id"]:
            raise Refused("容器不在这台机器上")
        return await self._draft(given, "gpu", "payment", before.id)

    # prices

    async def dbc_price(self, given: Params) -> Any:
        return float(self.order(given).price)

    async def pay_dbc_count(self, given: Params) -> Any:
        order = self.order(given)
        return number(
            rent(order.machine, int(given["gpu_count"]), int(given["rent_time_length"]), order.price)
        )

    async def disk_list(self, given: Params) -> Any:
        self._machine(given)
        return [{"capacity": size * KIB_IN_GIB} for size in DISKS]

    async def memory_list(self, given: Params) -> Any:
        self._machine(given)
        return [{"capacity": size * KIB_IN_GIB} for size in MEMORIES]

    async def deposit_count(self, given: Params) -> Any:
        self.order(given)
        return number(deposit(int(given["diskspace"]), int(given["memory"])))

    # creating and paying

    async def create_order(self, given: Params) -> Any:
        order, books = self.order(given), self._books
        if order.created:
            return True
        gpus, minutes = int(given["gpu_count"]), int(given["rent_time_length"])
        if minutes < 60 or minutes > 43200:
            raise Refused("租用时间不正确")
        if order.kind == "gpu":
            if gpus < 1 or books.free(order.machine) < gpus:
                raise Refused("机器已被租用")
            order.total = rent(order.machine, gpus, minutes, order.price)
        else:
            order.memory = int(given["memory"])
            order.total = deposit(int(given["diskspace"]), order.memory)
        order.gpus, order.minutes, order.disk = (
            gpus if order.kind == "gpu" else 0,
            minutes,
            int(given["diskspace"]),
        )
        order.created_at = books.now
        order.address = (await books.ask_ledger("POST", "/sandbox/platform/address"))["address"]
        return True

    async def can_rent(self, given: Params) -> Any:
        order = self.order(given)
        if order.cancelled:
            raise Refused("订单已取消")
        return WORKING if order.container_at is None else True

    async def address(self, given: Params) -> Any:
        order = self.order(given)
        if not order.created or order.cancelled:
            raise Refused("订单不能支付")
        return order.address

    async def pay(self, given: Params) -> Any:
        """Look for the payment on the ledger; on the switch too."""
        order, books = self.order(given), self._books
        if order.rented:
            return True
        if not order.created_at or order.returned:
            raise Refused("订单不能支付")
        digest = given.get("dbc_hash", "")
        stand = await books.seen(digest, order.wallet, order.address, order.due)
        if stand == "wait":
            return WORKING
        if stand == "no":
            raise Refused("支付金额不符")
        paid_at = await books.ask_ledger("GET", f"/tx/{digest}")
        if order.cancelled or paid_at["at"] > (order.created_at + WINDOW).isoformat():
            if not order.pay_error:
                books.count(digest)
                order.late, order.pay_error = digest, True
                books.entry(order.wallet, "late", -order.due, order.id)
            raise Refused("支付超时")
        await books.rented(order, digest)
        return True

    async def switched(self, given: Params) -> Any:
        order = self.order(given)
        return True if order.live is not None else WORKING

    # lists

    def _mine(self, given: Params) -> list[Order]:
        wallet = given["wallet_address_user"]
        return [order for order in self._books.orders.values() if order.wallet == wallet and order.created]

    async def all_gpu(self, given: Params) -> Any:
        return [shown_order(order, self._books.now) for order in self._mine(given) if order.kind == "gpu"]

    async def all_cpu(self, given: Params) -> Any:
        return [shown_order(order, self._books.now) for order in self._mine(given) if order.kind == "cpu"]

    async def all_stopped(self, given: Params) -> Any:
        return [
            shown_order(order, self._books.now) for order in self._mine(given) if order.kept_until is not None
        ]

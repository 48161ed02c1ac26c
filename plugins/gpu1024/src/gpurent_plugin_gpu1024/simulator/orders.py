"""The simulator's routes for orders and renewals, from the draft to the lists."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from gpurent_plugin_gpu1024.simulator.records import (
    GIVEN_DISK,
    KIB_IN_GIB,
    UNIT,
    ContainerOrder,
    GpuHost,
    OrderRenewal,
    compute_deposit,
    compute_rent,
    machine_json,
    order_json,
    renewal_json,
    to_json_number,
)
from gpurent_plugin_gpu1024.simulator.state import (
    FREE_TRIALS,
    TRIAL_BALANCE,
    TRIAL_TIME,
    Gpu1024Refusal,
    Gpu1024State,
)

Params = Mapping[str, str]
WORKING = (2, "", None)
DISK_SIZES, MEMORY_SIZES = (30, 60, 100, 200), (5, 10, 20)


def _require_deposit_mode(given: Params) -> None:
    if given["mode"] != "deposit":
        raise Gpu1024Refusal("只支持质押方式")


class OrderRoutes:
    """One method per route: parameters in, ``content`` or ``(status, msg, content)`` out.

    Raises `Gpu1024Refusal` if the request is refused.
    """

    def __init__(self, state: Gpu1024State) -> None:
        self._state = state

    def _get_host(self, given: Params) -> GpuHost:
        machine = self._state.machines.get(given["machine_id"])
        if machine is None:
            raise Gpu1024Refusal("机器不存在")
        return machine

    def _get_order(self, given: Params) -> ContainerOrder:
        return self._state.get_order(given.get("order_id") or given["order_id_new"])

    def _machine_json(self, machine: GpuHost) -> Any:
        return machine_json(machine, self._state.count_free_gpus(machine))

    async def list_machines(self, given: Params) -> Any:
        return [self._machine_json(machine) for machine in self._state.machines.values()]

    async def get_machine(self, given: Params) -> Any:
        return self._machine_json(self._get_host(given))

    # drafts

    async def _create_draft(
        self,
        given: Params,
        kind: str,
        before: ContainerOrder | None = None,
        *,
        is_stopped: bool = False,
        is_trial: bool = False,
    ) -> Any:
        books, wallet = self._state, given["wallet_address_user"]
        if wallet not in books.emails:
            raise Gpu1024Refusal("请先绑定邮箱")
        machine = self._get_host(given)
        if kind == "gpu" and books.count_free_gpus(machine) < 1:
            raise Gpu1024Refusal("机器已被租用")
        order = ContainerOrder(
            id=secrets.token_hex(12),
            wallet=wallet,
            machine=machine,
            kind=kind,
            mode="payment" if kind == "gpu" else "deposit",
            payment_mark=(secrets.randbelow(8999) + 1000) * UNIT // 10**4,
            price=await books.get_price(),
            switched_from=before.id if before else "",
            starts_stopped=is_stopped,
            is_trial=is_trial,
        )
        order.task_id = before.task_id if before else f"dbc-{order.id}"
        books.orders[order.id] = order
        return {
            "order_id": order.id,
            "dbc_price": float(order.price),
            "gpu_price_dollar": float(machine.price),
            "code": str(to_json_number(order.payment_mark)),
            "time_max": 43200,
            "gpu_count_max": machine.gpus,
            "images_tag": "pytorch 1.1+tensorflow 1.14@pytorch 1.2",
            "diskspace_giving": GIVEN_DISK,
            "diskSpace_per_gpu_max": machine.container_disk // machine.gpus,
            "diskspace_image_data": before.used_disk if before else 0,
            "order_id_pre": order.switched_from or None,
            "from_stop_to_open": is_stopped,
        }

    async def place_order(self, given: Params) -> Any:
        return await self._create_draft(given, "gpu")

    async def place_trial(self, given: Params) -> Any:
        """Draft a trial; who may have one is known from the page's own words, how it is refused is assumed."""
        wallet, books = given["wallet_address_user"], self._state
        tried = [order for order in books.orders.values() if order.wallet == wallet and order.is_trial]
        rented = [order for order in tried if order.rented]
        if any(order.machine.id == given["machine_id"] for order in rented):
            raise Gpu1024Refusal("每个机器只能试用一次")
        if len(rented) >= FREE_TRIALS and not await books.holds_enough(wallet, TRIAL_BALANCE):
            raise Gpu1024Refusal("钱包余额不足5000DBC")
        return await self._create_draft(given, "gpu", is_trial=True)

    async def place_order_cpu(self, given: Params) -> Any:
        _require_deposit_mode(given)
        return await self._create_draft(given, "cpu")

    async def place_order_cpu_to_gpu(self, given: Params) -> Any:
        return await self._create_draft(given, "gpu", self._get_running(given, "cpu"))

    async def place_order_gpu_to_cpu(self, given: Params) -> Any:
        _require_deposit_mode(given)
        return await self._create_draft(given, "cpu", self._get_running(given, "gpu"))

    async def place_order_stop_to_gpu(self, given: Params) -> Any:
        return await self._create_draft(given, "gpu", await self._get_stopped(given), is_stopped=True)

    async def place_order_stop_to_cpu(self, given: Params) -> Any:
        _require_deposit_mode(given)
        return await self._create_draft(given, "cpu", await self._get_stopped(given), is_stopped=True)

    def _get_previous(self, given: Params) -> ContainerOrder:
        before = self._state.orders.get(given["order_id_pre"])
        if before is None or before.wallet != given["wallet_address_user"] or not before.rented:
            raise Gpu1024Refusal("容器不存在")
        if before.machine.id != given["machine_id"]:
            raise Gpu1024Refusal("容器不在这台机器上")
        return before

    def _get_running(self, given: Params, kind: str) -> ContainerOrder:
        before = self._get_previous(given)
        if before.over or before.is_trial or before.kind != kind:
            raise Gpu1024Refusal("容器已停止")
        return before

    async def _get_stopped(self, given: Params) -> ContainerOrder:
        before = self._get_previous(given)
        if before.kept_until is None or not await self._state.holds_enough(before.wallet):
            raise Gpu1024Refusal("容器已销毁")
        return before

    # prices

    async def get_dbc_price(self, given: Params) -> Any:
        return float(self._get_order(given).price)

    async def get_pay_dbc_count(self, given: Params) -> Any:
        order = self._get_order(given)
        return to_json_number(
            compute_rent(
                order.machine,
                int(given["gpu_count"]),
                int(given["rent_time_length"]),
                order.price,
                int(given["diskspace"]),
            )
        )

    async def list_disk_sizes(self, given: Params) -> Any:
        self._get_host(given)
        return [{"capacity": size * KIB_IN_GIB} for size in DISK_SIZES]

    async def get_max_disk(self, given: Params) -> Any:
        return self._get_host(given).container_disk

    async def list_memory_sizes(self, given: Params) -> Any:
        self._get_host(given)
        return [{"capacity": size * KIB_IN_GIB} for size in MEMORY_SIZES]

    async def get_deposit_dbc_count(self, given: Params) -> Any:
        self._get_order(given)
        return to_json_number(compute_deposit(int(given["diskspace"]), int(given["memory"])))

    # creating and paying

    async def create_order(self, given: Params) -> Any:
        order, books = self._get_order(given), self._state
        if order.created:
            return True
        gpus, minutes = int(given["gpu_count"]), int(given["rent_time_length"])
        disk = 0 if order.is_trial else int(given["diskspace"])
        if order.is_trial:
            self._create_trial(order, gpus)
            order.address = (await books.request_ledger("POST", "/sandbox/platform/address"))["address"]
            return True
        if disk < 0 or disk > order.machine.container_disk:
            raise Gpu1024Refusal("磁盘空间不足")
        if minutes < 60 or minutes > 43200:
            raise Gpu1024Refusal("租用时间不正确")
        if order.kind == "gpu":
            if gpus < 1 or books.count_free_gpus(order.machine) < gpus:
                raise Gpu1024Refusal("机器已被租用")
            units = compute_rent(order.machine, gpus, minutes, order.price, disk)
        else:
            gpus, order.memory = 0, int(given["memory"])
            units = compute_deposit(disk, order.memory)
        order.gpus, order.disk, order.terms = gpus, disk, [(minutes, units)]
        order.created_at = books.now
        order.address = (await books.request_ledger("POST", "/sandbox/platform/address"))["address"]
        return True

    def _create_trial(self, order: ContainerOrder, gpus: int) -> None:
        """Create a trial, whose time is fixed whatever was asked for."""
        if gpus != 1 or self._state.count_free_gpus(order.machine) < 1:
            raise Gpu1024Refusal("机器已被租用")
        order.gpus, order.terms, order.created_at = 1, [(TRIAL_TIME, 0)], self._state.now

    async def can_rent_machine(self, given: Params) -> Any:
        order = self._get_order(given)
        if order.cancelled:
            raise Gpu1024Refusal("订单已取消")
        if order.created and order.container_requested_at is None:
            order.container_requested_at = self._state.now
        return WORKING if order.container_at is None else True

    async def get_payment_address(self, given: Params) -> Any:
        order = self._get_order(given)
        if not order.created or order.cancelled:
            raise Gpu1024Refusal("订单不能支付")
        return order.address

    async def is_switched(self, given: Params) -> Any:
        order = self._get_order(given)
        return True if order.container is not None else WORKING

    # lists

    def _list_orders(self, given: Params, is_listed: Callable[[ContainerOrder], bool]) -> Any:
        """Return the rows as the web client reads them: the order, and its machine beside it."""
        books, wallet = self._state, given["wallet_address_user"]
        return [
            {"orderData": order_json(order, books.now), "mcData": self._machine_json(order.machine)}
            for order in books.orders.values()
            if order.wallet == wallet and order.created and is_listed(order) and not books.is_list_empty
        ]

    async def list_gpu_orders(self, given: Params) -> Any:
        return self._list_orders(given, lambda order: order.kind == "gpu")

    async def list_cpu_orders(self, given: Params) -> Any:
        return self._list_orders(given, lambda order: order.kind == "cpu")

    async def list_stopped_orders(self, given: Params) -> Any:
        return self._list_orders(given, lambda order: order.kept_until is not None)

    # renewals

    async def place_renewal(self, given: Params) -> Any:
        order = self._get_order(given)
        if not order.rented or order.over:
            raise Gpu1024Refusal("订单已结束")
        if order.is_trial:
            raise Gpu1024Refusal("试用订单不能续租")
        renewal = OrderRenewal(
            id=secrets.token_hex(12),
            order=order,
            payment_mark=(secrets.randbelow(8999) + 1000) * UNIT // 10**4,
            price=await self._state.get_price(),
        )
        self._state.renewals[renewal.id] = renewal
        return {
            "continue_pay_order_id": renewal.id,
            "gpu_price_dollar": float(order.machine.price),
            "gpu_count": order.gpus,
            "disk_dollar": 0,
            "code": str(to_json_number(renewal.payment_mark)),
            "time_max": 43200,
        }

    async def get_renewal_price(self, given: Params) -> Any:
        return float(self._state.get_renewal(given["continue_pay_order_id"]).price)

    def _compute_renewal(self, renewal: OrderRenewal, given: Params) -> int:
        order = renewal.order
        if order.mode == "deposit":
            return 0
        minutes = int(given["rent_time_length"])
        if minutes < 60 or minutes > 43200:
            raise Gpu1024Refusal("续租时间不正确")
        return compute_rent(order.machine, order.gpus, minutes, renewal.price, order.disk)

    async def get_renewal_dbc_count(self, given: Params) -> Any:
        return to_json_number(
            self._compute_renewal(self._state.get_renewal(given["continue_pay_order_id"]), given)
        )

    async def create_renewal(self, given: Params) -> Any:
        renewal = self._state.get_renewal(given["continue_pay_order_id"])
        if renewal.order.over:
            raise Gpu1024Refusal("订单已结束")
        if renewal.created_at is None:
            renewal.total, renewal.minutes = (
                self._compute_renewal(renewal, given),
                int(given["rent_time_length"]),
            )
            renewal.created_at = self._state.now
        return True

    async def list_renewals(self, given: Params) -> Any:
        order = self._get_order(given)
        return [
            renewal_json(renewal)
            for renewal in self._state.renewals.values()
            if renewal.order is order and renewal.created_at is not None
        ]

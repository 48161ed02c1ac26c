"""The fake service's routes for more time on a running order."""

from __future__ import annotations

import secrets
from typing import Any

from gpurent_plugin_gpu1024.simulator.books import WINDOW, Gpu1024Books, ServiceRefusal
from gpurent_plugin_gpu1024.simulator.orders import WORKING, OrderRoutes, Params
from gpurent_plugin_gpu1024.simulator.records import UNIT, OrderRenewal, number, rent, shown_renewal


class RenewalRoutes:
    """More time: draft, price, create, verify the payment; cancel, or reclaim what came too late."""

    def __init__(self, books: Gpu1024Books, orders: OrderRoutes) -> None:
        self._books, self._orders = books, orders

    def _renewal(self, given: Params) -> OrderRenewal:
        renewal = self._books.renewals.get(given["continue_pay_order_id"])
        if renewal is None:
            raise ServiceRefusal("续费订单不存在")
        return renewal

    async def place(self, given: Params) -> Any:
        order = self._orders.order(given)
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

    async def price(self, given: Params) -> Any:
        return float(self._renewal(given).price)

    def _count(self, renewal: OrderRenewal, given: Params) -> int:
        order = renewal.order
        if order.mode == "deposit":
            return 0
        minutes = int(given["rent_time_length"])
        if minutes < 60 or minutes > 43200:
            raise ServiceRefusal("续租时间不正确")
        return rent(order.machine, order.gpus, minutes, renewal.price, order.disk)

    async def count(self, given: Params) -> Any:
        return number(self._count(self._renewal(given), given))

    async def create(self, given: Params) -> Any:
        renewal = self._renewal(given)
        if renewal.order.over:
            raise ServiceRefusal("订单已结束")
        if renewal.created_at is None:
            renewal.total, renewal.minutes = self._count(renewal, given), int(given["rent_time_length"])
            renewal.created_at = self._books.now
        return True

    async def listing(self, given: Params) -> Any:
        order = self._orders.order(given)
        return [
            shown_renewal(renewal)
            for renewal in self._books.renewals.values()
            if renewal.order is order and renewal.created_at is not None
        ]

    async def verify(self, given: Params) -> Any:
        renewal, books = self._renewal(given), self._books
        order = renewal.order
        if renewal.done:
            return True
        if renewal.created_at is None or renewal.returned:
            raise ServiceRefusal("订单不能支付")
        if renewal.pay_error:
            raise ServiceRefusal("支付超时")
        seen = await books.seen(given.get("dbc_hash", ""), order.wallet, order.address, renewal.due)
        if seen.how == "wait":
            return WORKING
        if seen.how == "no" or seen.at is None:
            raise ServiceRefusal("没有收到这笔支付")
        books.count(seen.digest)
        if renewal.cancelled or order.over or seen.at > renewal.created_at + WINDOW:
            renewal.pay_error = True
            books.entry(order.wallet, "late", -renewal.due, renewal.id)
            raise ServiceRefusal("支付超时")
        renewal.done = True
        order.codes += renewal.code
        order.terms.append((renewal.minutes, renewal.total))
        books.entry(order.wallet, "renewal", -renewal.due, order.id)
        return True

    def _unpaid(self, given: Params) -> OrderRenewal:
        renewal = self._renewal(given)
        if renewal.done or renewal.cancelled or renewal.pay_error or renewal.created_at is None:
            raise ServiceRefusal("订单不能取消")
        return renewal

    async def cancel_code(self, given: Params) -> Any:
        await self._books.mail_code(self._unpaid(given), "cancel")
        return True

    async def cancel(self, given: Params) -> Any:
        renewal = self._unpaid(given)
        self._books.take_code(renewal, "cancel", given["cancer_code"])
        renewal.cancelled = True
        return True

    def _late(self, given: Params) -> OrderRenewal:
        renewal = self._renewal(given)
        if not renewal.pay_error or renewal.returned:
            raise ServiceRefusal("没有可以退回的支付")
        return renewal

    async def return_code(self, given: Params) -> Any:
        await self._books.mail_code(self._late(given), "reclaim")
        return True

    async def return_dbc(self, given: Params) -> Any:
        renewal = self._late(given)
        self._books.take_code(renewal, "reclaim", given["return_code"])
        await self._books.send_back(renewal.order, renewal.due, "refund", f"{renewal.id}-late")
        renewal.returned = True
        return True

"""The fake service's routes for ending an order: stop, cancel, reclaim."""

from __future__ import annotations

from typing import Any

from gpurent_plugin_gpu1024.simulator.books import Gpu1024Books, ServiceRefusal
from gpurent_plugin_gpu1024.simulator.orders import OrderRoutes, Params
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder


class ReleaseRoutes:
    """A code by mail, then the act."""

    def __init__(self, books: Gpu1024Books, orders: OrderRoutes) -> None:
        self._books, self._orders = books, orders

    def _running(self, given: Params) -> ContainerOrder:
        order = self._orders.order(given)
        if not order.rented or order.over:
            raise ServiceRefusal("订单已结束")
        return order

    async def stop_code(self, given: Params) -> Any:
        await self._books.mail_code(self._running(given), "stop")
        return True

    async def stop(self, given: Params) -> Any:
        order = self._running(given)
        self._books.take_code(order, "stop", given["stop_code"])
        await self._books.end(order, well=True)
        return True

    def _unpaid(self, given: Params) -> ContainerOrder:
        order = self._orders.order(given)
        if order.rented or order.cancelled or not order.created or order.pay_error:
            raise ServiceRefusal("订单不能取消")
        return order

    async def cancel_code(self, given: Params) -> Any:
        await self._books.mail_code(self._unpaid(given), "cancel")
        return True

    async def cancel(self, given: Params) -> Any:
        order = self._unpaid(given)
        self._books.take_code(order, "cancel", given["cancer_code"])
        order.cancelled = True
        return True

    def _late(self, given: Params) -> ContainerOrder:
        order = self._orders.order(given)
        if not order.pay_error or order.returned:
            raise ServiceRefusal("没有可以退回的支付")
        return order

    async def return_code(self, given: Params) -> Any:
        await self._books.mail_code(self._late(given), "reclaim")
        return True

    async def return_dbc(self, given: Params) -> Any:
        order = self._late(given)
        self._books.take_code(order, "reclaim", given["return_code"])
        await self._books.send_back(
            order, order.due, "deposit-back" if order.mode == "deposit" else "refund", f"{order.id}-late"
        )
        order.returned = True
        return True

    async def repeat_mail(self, given: Params) -> Any:
        await self._books.mail_access(self._running(given))
        return True

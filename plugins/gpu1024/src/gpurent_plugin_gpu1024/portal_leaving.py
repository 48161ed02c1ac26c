"""The fake service's routes for leaving, renewing and binding a mail address."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from gpurent_plugin_gpu1024.portal_books import WINDOW, Books, Refused
from gpurent_plugin_gpu1024.portal_orders import WORKING, OrderDesk
from gpurent_plugin_gpu1024.portal_state import UNIT, Order, Renewal, number, rent

Params = Mapping[str, str]
PLATFORM = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"


class LeavingDesk:
    """Stop, cancel, reclaim: a code by mail, then the act."""

    def __init__(self, books: Books, orders: OrderDesk) -> None:
        self._books, self._orders = books, orders

    def _running(self, given: Params) -> Order:
        order = self._orders.order(given)
        if not order.rented or order.over:
            raise Refused("订单已结束")
        return order

    async def stop_code(self, given: Params) -> Any:
        await self._books.mail_code(self._running(given), "stop")
        return True

    async def stop(self, given: Params) -> Any:
        order = self._running(given)
        self._books.take_code(order, "stop", given["stop_code"])
        await self._books.end(order, well=True)
        return True

    def _unpaid(self, given: Params) -> Order:
        order = self._orders.order(given)
        if order.rented or order.cancelled or not order.created or order.pay_error:
            raise Refused("订单不能取消")
        return order

    async def cancel_code(self, given: Params) -> Any:
        await self._books.mail_code(self._unpaid(given), "cancel")
        return True

    async def cancel(self, given: Params) -> Any:
        order = self._unpaid(given)
        self._books.take_code(order, "cancel", given["cancer_code"])
        order.cancelled = True
        return True

    def _late(self, given: Params) -> Order:
        order = self._orders.order(given)
        if not order.pay_error or order.returned:
            raise Refused("没有可以退回的支付")
        return order

    async def return_code(self, given: Params) -> Any:
        await self._books.mail_code(self._late(given), "reclaim")
        return True

    async def return_dbc(self, given: Params) -> Any:
        order = self._late(given)
        self._books.take_code(order, "reclaim", given["return_code"])
        order.returned = True
        await self._books.send_back(order, order.due, "refund", f"{order.id}-late")
        return True

    async def repeat_mail(self, given: Params) -> Any:
        await self._books.mail_access(self._running(given))
        return True


class RenewalDesk:
    """More time: draft, price, create, verify the payment."""

    def __init__(self, books: Books, orders: OrderDesk) -> None:
        self._books, self._orders = books, orders

    def _renewal(self, given: Params) -> Renewal:
        renewal = self._books.renewals.get(given["continue_pay_order_id"])
        if renewal is None:
            raise Refused("续费订单不存在")
        return renewal

    async def place(self, given: Params) -> Any:
        order = self._orders.order(given)
        if not order.rented or order.over:
            raise Refused("订单已结束")
        renewal = Renewal(secrets.token_hex(12), order, (secrets.randbelow(8999) + 1000) * UNIT // 10**4)
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
        return float(self._renewal(given).order.price)

    def _count(self, renewal: Renewal, given: Params) -> int:
        order = renewal.order
        return rent(order.machine, order.gpus, int(given["rent_time_length"]), order.price)

    async def count(self, given: Params) -> Any:
        return number(self._count(self._renewal(given), given))

    async def create(self, given: Params) -> Any:
        renewal = self._renewal(given)
        if renewal.created_at is None:
            renewal.total, renewal.minutes = self._count(renewal, given), int(given["rent_time_length"])
            renewal.created_at = self._books.now
        return True

    async def listing(self, given: Params) -> Any:
        order = self._orders.order(given)
        return [
            {
                "continue_pay_order_id": renewal.id,
                "dbc_total_count": number(renewal.total),
                "code": str(number(renewal.code)),
                "rent_time_length": renewal.minutes,
                "order_is_cancer": renewal.cancelled,
                "pay_success": renewal.done,
            }
            for renewal in self._books.renewals.values()
            if renewal.order is order and renewal.created_at is not None
        ]

    async def verify(self, given: Params) -> Any:
        renewal, books = self._renewal(given), self._books
        if renewal.done:
            return True
        order, digest = renewal.order, given.get("dbc_hash", "")
        if renewal.created_at is None or books.now > renewal.created_at + WINDOW * 2 or order.over:
            raise Refused("支付超时")
        stand = await books.seen(digest, order.wallet, order.address, renewal.total + renewal.code)
        if stand == "wait":
            return WORKING
        if stand == "no":
            raise Refused("支付金额不符")
        books.count(digest)
        renewal.done = True
        order.total += renewal.total
        order.codes += renewal.code
        order.minutes += renewal.minutes
        books.entry(order.wallet, "renewal", -(renewal.total + renewal.code), order.id)
        return True


class MailDesk:
    """Binding an address costs a small mailed amount."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def request_code(self, given: Params) -> Any:
        wallet, books = given["wallet_address"], self._books
        code = (secrets.randbelow(8999) + 1000) * UNIT // 10**4
        books.binding[wallet] = (given["email"], code, False)
        await books.mail(wallet, "绑定邮箱", f"请转账以下数量的 DBC 完成绑定。\n验证码：{number(code)}\n")
        return True

    async def request_binding(self, given: Params) -> Any:
        wallet = given["wallet_address"]
        email, code, _asked = self._books.binding.get(wallet, ("", 0, False))
        if not email or given["code"] != str(number(code)):
            raise Refused("验证码错误")
        self._books.binding[wallet] = (email, code, True)
        return WORKING

    async def is_ok(self, given: Params) -> Any:
        wallet, books = given["wallet_address"], self._books
        if wallet in books.emails:
            return True
        email, code, asked = books.binding.get(wallet, ("", 0, False))
        if not asked:
            return WORKING
        found = await books.ask_ledger("GET", "/transfers", address=wallet)
        for row in found["transfers"]:
            if row["to"] == PLATFORM and row["amount"] == str(code) and row["confirmations"] >= 1:
                books.emails[wallet] = email
                books.entry(wallet, "binding", -code, row["hash"])
                return True
        return WORKING

    async def query(self, given: Params) -> Any:
        email = self._books.emails.get(given["wallet_address"])
        if email is None:
            raise Refused("没有绑定邮箱")
        return email

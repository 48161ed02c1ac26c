"""The fake service's routes for leaving and binding a mail address."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from gpurent_plugin_gpu1024.portal_books import CONFIRMATIONS, Bookkeeping, Refused
from gpurent_plugin_gpu1024.portal_orders import WORKING, OrderDesk
from gpurent_plugin_gpu1024.portal_state import UNIT, Order, number

Params = Mapping[str, str]
PLATFORM = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"


class LeavingDesk:
    """Stop, cancel, reclaim: a code by mail, then the act."""

    def __init__(self, books: Bookkeeping, orders: OrderDesk) -> None:
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
        await self._books.send_back(order, order.due, _way(order), f"{order.id}-late")
        order.returned = True
        return True

    async def repeat_mail(self, given: Params) -> Any:
        await self._books.mail_access(self._running(given))
        return True


def _way(order: Order) -> str:
    return "deposit-back" if order.mode == "deposit" else "refund"


class MailDesk:
    """Binding an address costs a small mailed amount."""

    def __init__(self, books: Bookkeeping) -> None:
        self._books = books

    async def request_code(self, given: Params) -> Any:
        wallet, books = given["wallet_address"], self._books
        email, code, asked = books.binding.get(wallet, ("", 0, False))
        if email != given["email"] or not code:
            # Asked again for the same address, the same code is mailed: what was paid on it is not lost.
            code, asked = (secrets.randbelow(8999) + 1000) * UNIT // 10**4, False
        books.binding[wallet] = (given["email"], code, asked)
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
            if row["to"] == PLATFORM and row["amount"] == str(code) and row["confirmations"] >= CONFIRMATIONS:
                books.emails[wallet] = email
                books.entry(wallet, "binding", -code, row["hash"])
                return True
        return WORKING

    async def query(self, given: Params) -> Any:
        email = self._books.emails.get(given["wallet_address"])
        if email is None:
            raise Refused("没有绑定邮箱")
        return email

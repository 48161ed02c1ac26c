"""The fake service's routes for what is paid or needs a mailed code: orders, more time, the binding of an address."""

from __future__ import annotations

import secrets
from typing import Any

from gpurent_plugin_gpu1024.simulator.books import CONFIRMATIONS, WINDOW, Gpu1024Books, ServiceRefusal
from gpurent_plugin_gpu1024.simulator.orders import WORKING, Params
from gpurent_plugin_gpu1024.simulator.records import UNIT, ContainerOrder, OrderRenewal, number

PLATFORM = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"


class PaymentRoutes:
    """Orders and renewals alike: look for the payment; cancel, or reclaim what came too late. And stop an order."""

    def __init__(self, books: Gpu1024Books) -> None:
        self._books = books

    def _thing(self, given: Params) -> ContainerOrder | OrderRenewal:
        if "continue_pay_order_id" in given:
            return self._books.renewal(given["continue_pay_order_id"])
        return self._books.order(given["order_id"])

    async def pay(self, given: Params) -> Any:
        """Look for the payment on the ledger; on the switch too."""
        thing, books = self._thing(given), self._books
        order = thing.order
        if thing.rented:
            return True
        if thing.created_at is None or thing.returned:
            raise ServiceRefusal("订单不能支付")
        if thing.pay_error:
            raise ServiceRefusal("支付超时")
        seen = await books.seen(given.get("dbc_hash", ""), order.wallet, order.address, thing.due)
        if seen is None:
            return WORKING
        digest, at = seen
        books.counted.add(digest)
        switch = isinstance(thing, ContainerOrder) and thing.before != ""
        needed = books.orders[order.before] if switch else order
        if thing.cancelled or needed.over or at > thing.created_at + WINDOW:
            thing.pay_error = True
            books.entry(order.wallet, "late", -thing.due, thing.id)
            raise ServiceRefusal("支付超时")
        if isinstance(thing, ContainerOrder):
            await books.rented(thing)
        else:
            thing.done = True
            order.codes += thing.code
            order.terms.append((thing.minutes, thing.total))
            books.entry(order.wallet, "renewal", -thing.due, order.id)
        return True

    def _unpaid(self, given: Params) -> ContainerOrder | OrderRenewal:
        thing = self._thing(given)
        if thing.rented or thing.cancelled or thing.pay_error or thing.created_at is None:
            raise ServiceRefusal("订单不能取消")
        return thing

    async def cancel_code(self, given: Params) -> Any:
        await self._books.mail_code(self._unpaid(given), "cancel")
        return True

    async def cancel(self, given: Params) -> Any:
        thing = self._unpaid(given)
        self._books.take_code(thing, "cancel", given["cancer_code"])
        thing.cancelled = True
        return True

    def _late(self, given: Params) -> ContainerOrder | OrderRenewal:
        thing = self._thing(given)
        if not thing.pay_error or thing.returned:
            raise ServiceRefusal("没有可以退回的支付")
        return thing

    async def return_code(self, given: Params) -> Any:
        await self._books.mail_code(self._late(given), "reclaim")
        return True

    async def return_dbc(self, given: Params) -> Any:
        thing = self._late(given)
        self._books.take_code(thing, "reclaim", given["return_code"])
        deposit = isinstance(thing, ContainerOrder) and thing.mode == "deposit"
        memo = "deposit-back" if deposit else "refund"
        await self._books.send_back(thing.order, thing.due, memo, f"{thing.id}-late")
        thing.returned = True
        return True

    def _running(self, given: Params) -> ContainerOrder:
        order = self._books.order(given["order_id"])
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

    async def repeat_mail(self, given: Params) -> Any:
        await self._books.mail_access(self._running(given))
        return True

    # binding an address costs a small mailed amount

    async def bind_code(self, given: Params) -> Any:
        wallet, books = given["wallet_address"], self._books
        email, code, asked = books.binding.get(wallet, ("", 0, False))
        if email != given["email"] or not code:
            # Asked again for the same address, the same code is mailed: what was paid on it is not lost.
            code, asked = (secrets.randbelow(8999) + 1000) * UNIT // 10**4, False
        books.binding[wallet] = (given["email"], code, asked)
        await books.mail(wallet, "绑定邮箱", f"请转账以下数量的 DBC 完成绑定。\n验证码：{number(code)}\n")
        return True

    async def bind(self, given: Params) -> Any:
        wallet = given["wallet_address"]
        email, code, _asked = self._books.binding.get(wallet, ("", 0, False))
        if not email or given["code"] != str(number(code)):
            raise ServiceRefusal("验证码错误")
        self._books.binding[wallet] = (email, code, True)
        return WORKING

    async def bound(self, given: Params) -> Any:
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

    async def bound_email(self, given: Params) -> Any:
        email = self._books.emails.get(given["wallet_address"])
        if email is None:
            raise ServiceRefusal("没有绑定邮箱")
        return email

"""The fake service's routes for binding a mail address."""

from __future__ import annotations

import secrets
from typing import Any

from gpurent_plugin_gpu1024.simulator.books import CONFIRMATIONS, Gpu1024Books, ServiceRefusal
from gpurent_plugin_gpu1024.simulator.orders import WORKING, Params
from gpurent_plugin_gpu1024.simulator.records import UNIT, number

PLATFORM = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"


class MailBindingRoutes:
    """Binding an address costs a small mailed amount."""

    def __init__(self, books: Gpu1024Books) -> None:
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
            raise ServiceRefusal("验证码错误")
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
            raise ServiceRefusal("没有绑定邮箱")
        return email

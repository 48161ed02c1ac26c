"""Binding an e-mail address: a mailed decimal below 1, paid as that many DBC, watched on the ledger."""

from __future__ import annotations

from attrs import evolve

from gpurent.api import Bill, Binding, Challenge, Money, MoneyError, Payment, PluginContext, Purpose
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.calls import Calls
from gpurent_plugin_gpu1024.codes import SLACK
from gpurent_plugin_gpu1024.messages import _


class MailDesk:
    """The calls under ``/binding_email_rent``."""

    def __init__(self, host: PluginContext, calls: Calls) -> None:
        self._host, self._calls = host, calls

    async def bound(self) -> str:
        found = await self._calls.call(
            "/binding_email_rent/query_email", wallet_address=await self._calls.wallet()
        )
        return found.content if found.status == wire.DONE and isinstance(found.content, str) else ""

    async def request(self, email: str, key: str) -> Binding:
        since = self._host.clock.now() - SLACK
        wallet = await self._calls.wallet()
        await self._calls.must("/binding_email_rent/request_code", email=email, wallet_address=wallet)
        code = await self._host.ask(
            Challenge(
                key=key,
                question=_("1024GPU: the code that was mailed to {email}").format(email=email),
                pattern=_PATTERN,
                sender=self._host.settings["mail_sender"],
                subject="绑定邮箱",
                since=since,
            )
        )
        bill = Bill(
            key=key,
            payee=self._host.settings["platform"],
            amount=_fee(code),
            purpose=Purpose.FEE,
            memo=code,
        )
        return Binding(email=email, since=since, bill=bill)

    async def bind(self, binding: Binding, payment: Payment | None) -> Binding:
        wallet = await self._calls.wallet()
        if binding.bill is not None and payment is not None:
            await self._calls.call(
                "/binding_email_rent/request_binding", wallet_address=wallet, code=binding.bill.memo
            )
        found = await self._calls.call("/binding_email_rent/binding_is_ok", wallet_address=wallet)
        return evolve(binding, done=found.status == wire.DONE)


def _fee(code: str) -> Money:
    """The mailed decimal as an amount: above zero, below one."""
    fee = wire.DBC.money(code)
    if not wire.DBC.zero < fee < wire.DBC.money(1):
        raise MoneyError(
            _("1024GPU mailed the code {code}, which is no amount").format(code=code),
            hint=_("Nothing was paid."),
        )
    return fee


_PATTERN = r"(?:验证码[：:]\s*)?(0\.\d{1,8})"

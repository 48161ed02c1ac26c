"""Invoices: from 200 CNY spent, says the wiki. The pages for it were never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpurent.api import (
    CNY,
    Invoice,
    Money,
    MoneyError,
    PluginContext,
    Spent,
    SupportsInvoices,
    UnexpectedResponse,
)
from gpurent_plugin_mistgpu import wire
from gpurent_plugin_mistgpu.messages import _
from gpurent_plugin_mistgpu.pages import Pages

FROM = CNY.money(200)
PATH = "/user/invoice/"


class Invoices(SupportsInvoices):
    """Mixed into the account. The server list says what was spent in all, the invoice page what was invoiced."""

    _host: PluginContext
    _pages: Pages

    @property
    def invoice_fields(self) -> Sequence[tuple[str, str]]:
        return (
            ("title", _("Invoice title (发票抬头)")),
            ("tax_id", _("Taxpayer number (税号)")),
            ("email", _("E-mail address that the invoice goes to")),
        )

    async def invoice(self) -> Invoice:
        answer = await self._pages.get("/user/")
        _balance, spent = wire.balance(answer.text, answer.url)
        assumed = self._host.settings.get("assumed") == "yes"
        done = sum((money for _number, money in await self._listed()), CNY.zero) if assumed else CNY.zero
        left = spent - done
        return Invoice(
            ready=spent >= FROM and left.amount > 0,
            spent=spent,
            needed=FROM,
            open=left,
            url=self._host.settings["url"].rstrip("/") + PATH,
            steps=(
                _("Open the invoice page; {money} can be invoiced.").format(money=left),
                _("Fill in the title, the taxpayer number and your e-mail address, and submit."),
                _("The invoice comes by e-mail."),
            ),
        )

    async def request_invoice(self, money: Money, answers: Mapping[str, str]) -> str:
        self._pages.require_assumed(PATH)
        found = await self.invoice()
        if not found.ready or money.amount <= 0 or money > found.open:
            raise MoneyError(
                _("MISTGPU has {open} to invoice, not {money}").format(open=found.open, money=money),
                hint=_("Nothing was asked for."),
            )
        before = await self._listed()
        form = {name: answers[name] for name, _label in self.invoice_fields}
        answer = await self._pages.post(PATH, {**form, "amount": f"{money.decimal:f}"}, Spent.NO)
        why = wire.complaint(answer.text)
        if why:
            raise MoneyError(
                _("MISTGPU refuses the invoice: {why}").format(why=why), hint=_("Nothing was asked for.")
            )
        new = [number for number, _money in await self._listed() if number not in dict(before)]
        if len(new) != 1:
            raise UnexpectedResponse(
                _("MISTGPU took the form, but shows no new invoice"),
                url=answer.url,
                body=answer.text,
                spent=Spent.NO,
            )
        return new[0]

    async def _listed(self) -> Sequence[tuple[str, Money]]:
        answer = await self._pages.get(PATH)
        return wire.invoices(answer.text, answer.url)

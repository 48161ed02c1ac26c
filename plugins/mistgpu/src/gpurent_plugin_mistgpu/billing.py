"""The CNY balance: money goes in by Alipay, and out by the minute while a server runs."""

from __future__ import annotations

from decimal import Decimal

from gpurent.api import (
    CNY,
    Balance,
    Bill,
    BillingProvider,
    Charge,
    ChargeKind,
    Currency,
    Known,
    Lease,
    Money,
    MoneyError,
    Payment,
    PluginContext,
    Rate,
    Spent,
    SupportsStatement,
    TopUp,
    UnexpectedResponse,
    Unknown,
)
from gpurent_plugin_mistgpu import wire
from gpurent_plugin_mistgpu.invoices import Invoices
from gpurent_plugin_mistgpu.messages import _
from gpurent_plugin_mistgpu.pages import Pages


class Account(Invoices, BillingProvider, SupportsStatement):
    """Nothing is ever paid from here: the shop itself takes what a running server costs."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host
        self._pages = Pages(host)

    async def balance(self) -> Balance:
        answer = await self._pages.get("/user/")
        left, _spent = wire.balance(answer.text, answer.url)
        return Balance(available=left, at=self._host.clock.now())

    async def rate(self, quote: Currency) -> Rate:
        if quote.code != "CNY":
            raise MoneyError(_("MISTGPU knows no rate between CNY and {code}").format(code=quote.code))
        return Rate(CNY, quote, Decimal(1), self._host.clock.now(), "identity")

    async def top_up(self, money: Money) -> TopUp:
        if money.amount <= 0:
            raise MoneyError(_("{money} cannot be paid in").format(money=money))
        answer = await self._pages.post("/user/recharge/", {"amount": f"{money.decimal:f}"}, Spent.NO)
        place = answer.headers.get("location", "")
        if not place.startswith("/pay/"):
            raise UnexpectedResponse(
                _("MISTGPU gave no payment page"), url=answer.url, body=answer.text, spent=Spent.NO
            )
        url = self._host.settings["url"].rstrip("/") + place
        return TopUp(
            steps=(
                _("Open the payment page and pay {money} with Alipay.").format(money=money),
                _("The balance follows within a minute."),
            ),
            url=url,
            qr=url,
            advice=_("A server is shut at once when the balance reaches 0."),
        )

    async def pay(self, bill: Bill) -> Payment:
        if bill.amount.amount:
            raise MoneyError(
                _("MISTGPU takes no payments, and was asked for {amount}").format(amount=bill.amount)
            )
        return Payment(key=bill.key, proof="", amount=bill.amount, at=self._host.clock.now())

    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        if not lease.ref or lease.started_at is None:
            return Known(())
        answer = await self._pages.get("/user/bills/")
        runs = [
            run
            for run in wire.runs(answer.text, answer.url)
            if run.server == lease.ref and run.started_at == lease.started_at
        ]
        if not runs:
            return Unknown(_("the bill page does not list this server yet"))
        return Known(tuple(self._use(run) for run in runs if run.cost.amount))

    async def statement(self) -> Known[Charge] | Unknown:
        answer = await self._pages.get("/user/bills/")
        used = [self._use(run) for run in wire.runs(answer.text, answer.url) if run.cost.amount]
        came = [
            Charge(at=paid.at, kind=ChargeKind.TOP_UP, money=paid.money, ref=f"recharge/{paid.id}")
            for paid in wire.recharges(answer.text, answer.url)
        ]
        return Known(tuple(sorted([*used, *came], key=lambda charge: charge.at)))

    def _use(self, run: wire.Run) -> Charge:
        # A server may be shut and started again: each stretch is a charge of its own.
        return Charge(
            at=run.ended_at or self._host.clock.now(),
            kind=ChargeKind.USE,
            money=run.cost,
            ref=f"{run.server}@{run.started_at.isoformat()}",
            note=_("{minutes} min").format(minutes=run.minutes),
            growing=run.ended_at is None,
        )

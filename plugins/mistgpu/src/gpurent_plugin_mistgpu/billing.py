"""The CNY balance: topped up with Alipay, charged by the minute while a server runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpurent.api import (
    CNY,
    Balance,
    Charge,
    ChargeKind,
    InvoiceInfo,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyError,
    MoneyInstructions,
    PluginContext,
    Spent,
    SupportsInvoices,
    SupportsStatement,
    UnexpectedResponse,
    Unknown,
    quote_text,
)
from gpurent_plugin_mistgpu import _, wire
from gpurent_plugin_mistgpu.client import MistgpuClient

# From the wiki; the invoice pages themselves were never seen.
MIN_INVOICE = CNY.money(200)
INVOICE_PATH = "/user/invoice/"


class MistgpuBilling(MeteredBilling, SupportsStatement, SupportsInvoices):
    """Billing for MISTGPU. Makes no payments: the provider charges the balance while a server runs."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, "MISTGPU", CNY)
        self._context = context
        self._client = MistgpuClient(context)

    async def get_balance(self) -> Balance:
        left, _spent = await self._client.get_parsed("/user/", wire.parse_balance)
        return Balance(available=left, at=self._context.clock.now())

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        if money.amount <= 0:
            raise MoneyError(_("{money} is not a valid top-up amount").format(money=money))
        answer = await self._client.submit_form("/user/recharge/", {"amount": f"{money.decimal:f}"}, Spent.NO)
        place = answer.headers.get("location", "")
        if not place.startswith("/pay/"):
            raise UnexpectedResponse(
                _("MISTGPU returned no payment page"), url=answer.url, body=answer.text, spent=Spent.NO
            )
        url = self._context.settings["url"].rstrip("/") + place
        return MoneyInstructions(
            steps=(
                _("Open the payment page and pay {money} with Alipay.").format(money=money),
                _("The balance is updated within a minute."),
            ),
            url=url,
            qr=url,
            advice=_("Servers are shut down immediately when the balance reaches 0."),
        )

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        if not lease.ref or lease.started_at is None:
            return Known(())
        runs = [
            run
            for run in await self._client.get_parsed("/user/bills/", wire.parse_runs)
            if run.server == lease.ref and run.started_at == lease.started_at
        ]
        if not runs:
            return Unknown(_("the bill page does not list this server yet"))
        return Known(tuple(self._make_usage_charge(run) for run in runs if run.cost.amount))

    async def get_statement(self) -> Known[Charge] | Unknown:
        answer = await self._client.get_page("/user/bills/")
        used = [
            self._make_usage_charge(run)
            for run in wire.parse_runs(answer.text, answer.url)
            if run.cost.amount
        ]
        came = wire.parse_top_ups(answer.text, answer.url)
        return Known(tuple(sorted([*used, *came], key=lambda charge: charge.at)))

    def _make_usage_charge(self, run: wire.BilledRun) -> Charge:
        # A server can be shut down and started again: each run is a separate charge.
        return Charge(
            at=run.ended_at or self._context.clock.now(),
            kind=ChargeKind.USAGE,
            money=run.cost,
            ref=f"{run.server}@{run.started_at.isoformat()}",
            note=_("{minutes} min").format(minutes=run.minutes),
            growing=run.ended_at is None,
        )

    # The server list shows the total spent, the invoice page what was invoiced.

    @property
    def invoice_fields(self) -> Sequence[tuple[str, str]]:
        return (
            ("title", _("Invoice title (发票抬头)")),
            ("tax_id", _("Taxpayer number (税号)")),
            ("email", _("E-mail address for the invoice")),
        )

    async def get_invoice_info(self) -> InvoiceInfo:
        _balance, spent = await self._client.get_parsed("/user/", wire.parse_balance)
        assumed = self._context.settings.get("allow_assumed") == "yes"
        listed = await self._client.get_parsed(INVOICE_PATH, wire.parse_invoices) if assumed else ()
        left = spent - sum((money for _number, money in listed), CNY.zero)
        return InvoiceInfo(
            ready=spent >= MIN_INVOICE and left.amount > 0,
            spent=spent,
            minimum_spending=MIN_INVOICE,
            uninvoiced=left,
            url=self._context.settings["url"].rstrip("/") + INVOICE_PATH,
            steps=(
                _("Open the invoice page; {money} can be invoiced.").format(money=left),
                _("Fill in the title, the taxpayer number and your e-mail address, then submit."),
                _("The invoice arrives by e-mail."),
            ),
        )

    async def request_invoice(self, money: Money, answers: Mapping[str, str]) -> str:
        self._client.check_assumed_allowed(INVOICE_PATH)
        found = await self.get_invoice_info()
        if not found.ready or money.amount <= 0 or money > found.uninvoiced:
            raise MoneyError(
                _("MISTGPU can invoice {open}, not {money}").format(open=found.uninvoiced, money=money),
                hint=_("No invoice was requested."),
            )
        before = await self._client.get_parsed(INVOICE_PATH, wire.parse_invoices)
        form = {name: answers[name] for name, _label in self.invoice_fields}
        answer = await self._client.submit_form(
            INVOICE_PATH, {**form, "amount": f"{money.decimal:f}"}, Spent.NO
        )
        why = wire.parse_error_text(answer.text)
        if why:
            raise MoneyError(
                _("MISTGPU rejected the invoice request: {why}").format(why=quote_text(why)),
                hint=_("No invoice was requested."),
            )
        after = await self._client.get_parsed(INVOICE_PATH, wire.parse_invoices)
        new = [number for number, _money in after if number not in dict(before)]
        if len(new) != 1:
            raise UnexpectedResponse(
                _("MISTGPU accepted the form but shows no new invoice"),
                url=answer.url,
                body=answer.text,
                spent=Spent.NO,
            )
        return new[0]

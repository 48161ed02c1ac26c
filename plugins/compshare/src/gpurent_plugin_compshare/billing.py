"""The balance in CNY: charged by the second while a machine runs, settled by the hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from gpurent.api import (
    Balance,
    Charge,
    ChargeKind,
    CountedPages,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyError,
    MoneyInstructions,
    PluginContext,
    SupportsWithdrawal,
    TopUpAdvice,
    Unknown,
)
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.client import SERVICE, CompShareReply, make_api

CHINA = timedelta(hours=8)
KINDS = {"OT_REFUND": ChargeKind.REFUND, "OT_RENEW": ChargeKind.RENEWAL}
MAX_WITHDRAWAL = wire.CNY.money(10_000)
BILLS = CountedPages(rows="Items", total="TotalCount", param="Offset", size_param="Limit")
ROUNDING = timedelta(minutes=1)


class CompShareBilling(MeteredBilling, SupportsWithdrawal):
    """Billing for CompShare. Makes no payments: the service charges the balance, each hour and at the end of a run."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, SERVICE, wire.CNY)
        self._context, self._page = context, context.settings["billing_page"]
        self._api = make_api(context)

    async def get_balance(self) -> Balance:
        reply = await self._api.call_checked("GET", "GetBalance")
        account = reply.get_object(reply.body, "AccountInfo")
        available, held = (
            reply.get_money(account, name, wire.CNY) for name in ("AmountAvailable", "AmountFreeze")
        )
        return Balance(available=available, held=held, at=self.clock.now())

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        account = (await self._context.get_login()).account
        return self.make_top_up(self._page, account, money)

    async def suggest_top_up(self) -> TopUpAdvice | None:
        """Return what is owed."""
        owed = -(await self.get_balance()).available
        return TopUpAdvice(money=owed, reason=_("this much is owed")) if owed.amount > 0 else None

    async def withdraw(self, money: Money) -> MoneyInstructions:
        available = (await self.get_balance()).available
        if not 0 < money.amount <= available.amount:
            raise MoneyError(
                _("{money} cannot be withdrawn from {available}").format(money=money, available=available)
            )
        return MoneyInstructions(
            steps=(
                _("Open the billing page and withdraw {money}.").format(money=money),
                _(
                    "It goes back the way it came: to Alipay within 90 days of the payment, to WeChat within a year."
                ),
                _("At most {most} at a time, three times a day.").format(most=MAX_WITHDRAWAL),
            ),
            url=self._page,
        )

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        if not lease.ref:
            return Known(())
        resource = wire.get_id(lease)
        found, billed_until = [], None
        for cycle in self._list_cycles(lease.started_at or self.clock.now()):
            form = {"BillingCycle": cycle, "ResourceIds.0": resource, "ShowZero": "0"}
            async for page, row in self._api.read_rows("ListUBillDetail", BILLS, form):
                if page.get_text(row, "ResourceId") == resource:
                    charge, until = _parse_charge(page, row)
                    billed_until = max(until, billed_until or until)
                    found += [charge] if charge.money.amount else []
        stopped_at = datetime.fromisoformat(
            lease.provider_data.get(wire.STOPPED_AT, "1970-01-01T00:00+00:00")
        )
        is_late = billed_until is None or billed_until < stopped_at - ROUNDING
        if lease.started_at is not None and is_late and (lease.is_over or not found):
            return Unknown(_("CompShare does not list all charges of this machine yet, which may take a day"))
        return Known(tuple(sorted(found, key=lambda charge: charge.at)))

    def _list_cycles(self, since: datetime) -> Iterator[str]:
        """Yield the months since then, in China's time: ``2026-11``."""
        month, last = (since + CHINA).replace(day=1), self.clock.now() + CHINA
        while month <= last:
            yield f"{month:%Y-%m}"
            month = (month + timedelta(days=31)).replace(day=1)


def _parse_charge(reply: CompShareReply, row: Mapping[str, Any]) -> tuple[Charge, datetime]:
    """Return a charge and the end of its time. A coupon's part is no money of the account."""
    at, until = (reply.get_time(row, name) for name in ("CreateTime", "EndTime"))
    number, order = reply.get_text(row, "OrderNo"), reply.get_text(row, "OrderType")
    if at is None or until is None or not number:
        raise reply.make_unexpected_response(_("a charge without its time or number"))
    money = reply.get_money(row, "AmountReal", wire.CNY) + reply.get_money(row, "AmountFree", wire.CNY)
    kind = ChargeKind.REFUND if money.amount < 0 else KINDS.get(order, ChargeKind.USAGE)
    return Charge(at=at, kind=kind, money=-money if money.amount < 0 else money, ref=number), until

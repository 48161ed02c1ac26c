"""The balance in USD: charged by the second while a pod runs, and for its disk until it is terminated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gpurent.api import (
    Balance,
    Charge,
    ChargeKind,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyError,
    MoneyInstructions,
    PluginContext,
    Spent,
    Unknown,
)
from gpurent_plugin_runpod import _, wire
from gpurent_plugin_runpod.login import query_account

# The service bills every five minutes what ran until then.
BILLING_DELAY = timedelta(minutes=10)
HISTORY_SPAN = timedelta(days=30)
COMPONENTS = {"gpuAmount": "gpu", "cpuAmount": "cpu", "diskAmount": "disk"}


class RunpodBilling(MeteredBilling):
    """Billing for RunPod. Makes no payments: the service charges the credit while a pod exists.

    REST states no balance and no payments, so that there is no statement of the account.
    """

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, wire.SERVICE, wire.USD)
        self._context = context
        self._client = wire.make_api(context)

    async def get_balance(self) -> Balance:
        found = await query_account(self._client, "clientBalance")
        if found is None:
            available = await self._compute_balance()
        else:
            reply, row = found
            available = reply.get_money(row, "clientBalance", wire.USD)
        return Balance(available=available, at=self._context.clock.now())

    async def _compute_balance(self) -> Money:
        """Return the declared credit less all that was billed since; the hour of its declaration counts in full."""
        text = self._context.settings.get("balance", "")
        if not text:
            raise MoneyError(
                _("RunPod does not tell the balance to this key, and you declared none"),
                hint=_("Read it on its billing page, then: gpurent config set runpod.balance 'AMOUNT TIME'"),
                spent=Spent.NO,
            )
        declared, since = parse_declared_balance(text)
        params = {"startTime": _format_time(since), "bucketSize": "hour"}
        reply = await self._client.call_checked("GET", "/v2/billing", params=params)
        totals = reply.get_object(reply.get_object(reply.body, "metadata"), "totals")
        return declared - reply.get_money(totals, "totalAmount", wire.USD)

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        if money.amount <= 0:
            raise MoneyError(_("{money} is not a valid top-up amount").format(money=money))
        account, amount = (await self._context.get_login()).account, f"{money.decimal.normalize():f}"
        page = self._context.settings["billing_page"]
        url = page.replace("{account}", account).replace("{amount}", amount)
        return MoneyInstructions(
            steps=(
                _("Open the billing page and add {money} of credit.").format(money=money),
                _("The credit is there as soon as the payment is confirmed."),
            ),
            url=url,
            qr=url,
            advice=_("At a credit of 0, RunPod stops your pods and later deletes their disks."),
        )

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        if not lease.ref:
            return Known(())
        now = self._context.clock.now()
        since = (lease.started_at or now - HISTORY_SPAN).astimezone(UTC)
        params = {
            "podId": lease.ref,
            "bucketSize": "day",
            "startTime": _format_time(since.replace(hour=0, minute=0, second=0, microsecond=0)),
        }
        reply = await self._client.call_checked("GET", "/v2/billing/pods", params=params)
        grows = not lease.is_over or (lease.ended_at is not None and now - lease.ended_at < BILLING_DELAY)
        found = [
            self._parse_charge(reply, row, now, grows)
            for row in reply.get_rows("records")
            if _is_of(row, lease)
        ]
        charges = sorted((charge for charge in found if charge.money.amount), key=lambda charge: charge.at)
        if not charges and lease.started_at is not None:
            return Unknown(_("the billing history does not show this pod yet"))
        return Known(tuple(charges))

    def _parse_charge(self, reply: wire.RunpodReply, row: Any, now: datetime, grows: bool) -> Charge:
        start, end = reply.get_iso_time(row, "startTime"), reply.get_iso_time(row, "endTime")
        if start is None or end is None:
            raise reply.make_unexpected_response(_("a charge without its time"))
        parts = [name for field, name in COMPONENTS.items() if reply.find_number(row, field)]
        return Charge(
            at=start,
            kind=ChargeKind.USAGE,
            money=reply.get_money(row, "totalAmount", wire.USD),
            ref=f"pod-{reply.get_text(row, 'podId')}@{_format_time(start)}",
            note=", ".join(parts),
            growing=grows and now < end + BILLING_DELAY,
        )


def _is_of(row: Any, lease: Lease) -> bool:
    """A service that ignores the filter lists other pods too."""
    return "podId" not in row or row["podId"] == lease.ref


def parse_declared_balance(text: str) -> tuple[Money, datetime]:
    """Parse ``25.00 2026-12-01T09:00:00Z``. Raises ``ValueError``."""
    amount, _space, time = text.strip().partition(" ")
    at = datetime.fromisoformat(time.strip())
    if at.tzinfo is None:
        raise ValueError
    return wire.USD.money(amount), at


def _format_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

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
    SupportsVolumeCharges,
    Unknown,
    Volume,
)
from gpurent_plugin_runpod import _, wire
from gpurent_plugin_runpod.login import query_account

# The service bills every five minutes what ran until then.
BILLING_DELAY = timedelta(minutes=10)
COMPONENTS = {"gpuAmount": "gpu", "cpuAmount": "cpu", "diskAmount": "disk", "standardAmount": "volume"}
PATHS = {"pod": "pods", "networkVolume": "network-volumes"}


class RunpodBilling(MeteredBilling, SupportsVolumeCharges):
    """Billing for RunPod. There is no statement of the account: no API tells what was paid in."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, wire.SERVICE, wire.USD)
        self._context = context
        self._client = wire.make_api(context)

    async def get_balance(self) -> Balance:
        account = await query_account(self._client, "clientBalance")
        if account is None:
            available = await self._compute_balance()
        else:
            available = account.get_money(account.body, "clientBalance", wire.USD)
        return Balance(available=available, at=self._context.clock.now())

    async def _compute_balance(self) -> Money:
        """Return the declared credit less all that was billed since; the hour of its declaration counts in full."""
        text = self._context.settings.get("balance", "")
        if not text:
            raise MoneyError(
                _("RunPod does not tell the balance to this key, and you declared none"),
                hint=_(
                    "Read it on the billing page, then in config.toml: [runpod] balance = 'AMOUNT USD TIME'"
                ),
                spent=Spent.NO,
            )
        declared, since = wire.parse_declared_balance(text)
        params = {"startTime": _format_time(since), "bucketSize": "hour"}
        reply = await self._client.call_checked("GET", "/v2/billing", params=params)
        totals = reply.get_object(reply.get_object(reply.body, "metadata"), "totals")
        return declared - reply.get_money(totals, "totalAmount", wire.USD)

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        account, page = (await self._context.get_login()).account, self._context.settings["billing_page"]
        return self.make_top_up(page, account, money)

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        found = await self._list_records("pod", lease.ref, lease.started_at, lease.ended_at)
        if not found.items and lease.ref and lease.started_at is not None:
            return Unknown(_("the billing history does not show this pod yet"))
        return found

    async def list_volume_charges(self, volume: Volume) -> Known[Charge] | Unknown:
        return await self._list_records("networkVolume", volume.ref, volume.created_at, volume.deleted_at)

    async def _list_records(
        self, kind: str, ref: str, since: datetime | None, ended_at: datetime | None
    ) -> Known[Charge]:
        """Return the charges of a pod or volume, one for each day."""
        if not ref:
            return Known(())
        now, name = self._context.clock.now(), f"{kind}Id"
        since = since or now - timedelta(days=30)
        params = {name: ref, "bucketSize": "day", "startTime": _format_time(since)}
        reply = await self._client.call_checked("GET", f"/v2/billing/{PATHS[kind]}", params=params)
        # A service that ignores the filter lists others too.
        rows = [row for row in reply.get_rows("records") if row.get(name, ref) == ref]
        grows = ended_at is None or now - ended_at < BILLING_DELAY
        found = [self._parse_charge(reply, row, f"{kind}-{ref}", now, grows) for row in rows]
        charges = sorted((charge for charge in found if charge.money.amount), key=lambda charge: charge.at)
        return Known(tuple(charges))

    def _parse_charge(
        self, reply: wire.RunpodReply, row: Any, name: str, now: datetime, grows: bool
    ) -> Charge:
        start, end = reply.get_iso_time(row, "startTime"), reply.get_iso_time(row, "endTime")
        if start is None or end is None:
            raise reply.make_unexpected_response(_("a charge without its time"))
        return Charge(
            at=start,
            kind=ChargeKind.USAGE,
            money=reply.get_money(row, "totalAmount", wire.USD),
            ref=f"{name}@{_format_time(start)}",
            note=", ".join(text for field, text in COMPONENTS.items() if reply.find_number(row, field)),
            growing=grows and now < end + BILLING_DELAY,
        )


def _format_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

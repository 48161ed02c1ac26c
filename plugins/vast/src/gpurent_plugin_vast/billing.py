"""The balance in USD: charged by the second while a machine runs, and for its disk until it is deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve

from gpurent.api import (
    Balance,
    Charge,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyInstructions,
    PluginContext,
    SupportsStatement,
    Unknown,
)
from gpurent_plugin_vast import _, wire
from gpurent_plugin_vast.charges import ChargeReader, to_seconds

STATEMENT_SPAN = timedelta(days=365)
MARGIN = timedelta(days=1)


class VastBilling(MeteredBilling, SupportsStatement):
    """Billing for vast.ai. Makes no payments: the service charges the credit while a machine exists."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, "vast.ai", wire.USD)
        self._context = context
        self._client = wire.make_api(context)
        self._charges = ChargeReader(self._client)

    async def get_balance(self) -> Balance:
        reply = await self._client.call_checked("GET", wire.ACCOUNT_PATH)
        credit = reply.get_money(reply.body, "credit", wire.USD)
        return Balance(available=credit, at=self._context.clock.now())

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        login = await self._context.get_login()
        return self.make_top_up(self._context.settings["billing_page"], login.account, money)

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        if not lease.ref:
            return Known(())
        since = (lease.started_at or self._context.clock.now()) - MARGIN
        found = [charge for ref, charge in await self._read_usage(since) if ref == lease.ref]
        if not found and lease.started_at is not None:
            return Unknown(_("the list of charges does not show this machine yet"))
        # A day's row is added to as long as the machine exists on that day.
        return Known(
            tuple(evolve(charge, growing=self._is_today(charge) and not lease.is_over) for charge in found)
        )

    async def get_statement(self) -> Known[Charge] | Unknown:
        now = self._context.clock.now()
        usage = [
            evolve(charge, growing=self._is_today(charge))
            for _ref, charge in await self._read_usage(now - STATEMENT_SPAN)
        ]
        came = await self._charges.list_invoices(to_seconds(now - STATEMENT_SPAN), to_seconds(now + MARGIN))
        return Known(tuple(sorted([*usage, *came], key=lambda charge: charge.at)))

    def _is_today(self, charge: Charge) -> bool:
        return charge.at.date() >= self._context.clock.now().astimezone(UTC).date()

    async def _read_usage(self, since: datetime) -> list[tuple[str, Charge]]:
        """Return the charges that cost something, each with the id of its machine."""
        now = self._context.clock.now()
        day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        found = await self._charges.list_usage(to_seconds(day), to_seconds(now + MARGIN))
        return [(ref, charge) for ref, charge in found if charge.money.amount]

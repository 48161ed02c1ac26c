"""The account: its login, its balance, and what Tern Cloud charged to it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from gpurent.api import (
    USD,
    ApiKeyAuthenticator,
    Balance,
    Charge,
    ChargeKind,
    JsonApi,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyInstructions,
    PluginContext,
    SupportsStatement,
)

from gpurent_plugin_tern import _
from gpurent_plugin_tern.plugin import NAME
from gpurent_plugin_tern.wire import SERVICE, TernReply, parse_charges

FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)


def make_api(context: PluginContext) -> JsonApi[TernReply]:
    return JsonApi(context, NAME, SERVICE, TernReply)


def make_authenticator(context: PluginContext) -> ApiKeyAuthenticator[TernReply]:
    return ApiKeyAuthenticator(make_api(context), "/me", "email")


class TernBilling(MeteredBilling, SupportsStatement):
    """Tern Cloud charges once an hour, and when a machine is gone: until then, nothing is listed for it."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, SERVICE, USD)
        self._context = context
        self._api = make_api(context)

    async def get_balance(self) -> Balance:
        reply = await self._api.call_checked("GET", "/me")
        available = reply.get_minor_units(reply.body, "balance_cents", USD)
        return Balance(available=available, at=self.clock.now())

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        login = await self._context.get_login()
        page = self._context.settings["billing_page"] + "?account={account}&amount={amount}"
        return self.make_top_up(page, login.account, money, _("At a balance of 0 the machines are deleted."))

    async def list_charges(self, lease: Lease) -> Known[Charge]:
        rows = await self._read_charges(lease.started_at or FIRST_DAY)
        return Known([row for ref, row in rows if row.kind is ChargeKind.USAGE and ref == lease.ref])

    async def get_statement(self) -> Known[Charge]:
        return Known([row for _ref, row in await self._read_charges(FIRST_DAY)])

    async def _read_charges(self, since: datetime) -> Sequence[tuple[str, Charge]]:
        pages = self._api.read_pages(
            "/charges", {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}, token_field="next", token_param="cursor"
        )
        rows = [row async for page in pages for row in parse_charges(page)]
        return sorted(rows, key=lambda row: row[1].at)

"""The balance in CNY, charged while a machine runs. The API tells the balance, and no charges."""

from __future__ import annotations

from gpurent.api import (
    Balance,
    Charge,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyInstructions,
    PluginContext,
    Unknown,
    compute_run_charges,
)
from gpurent_plugin_autodl import _, wire
from gpurent_plugin_autodl.specs import CNY


class AutodlBilling(MeteredBilling):
    """Billing for AutoDL. Makes no payments: the service charges the balance while a machine runs."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, wire.SERVICE, CNY)
        self._context = context
        self._client = wire.make_api(context)

    async def get_balance(self) -> Balance:
        reply = await self._client.call_checked("POST", wire.BALANCE_PATH)
        available, held = wire.parse_balance(reply)
        return Balance(available=available, held=held, at=self._context.clock.now())

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        return self.make_top_up(
            self._context.settings["billing_page"],
            (await self._context.get_login()).account,
            money,
            steps=(
                _("Open the page and pay {money} with WeChat or Alipay.").format(money=money),
                _("The balance is updated as soon as the payment is confirmed."),
            ),
        )

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        # The API lists none.
        return compute_run_charges(lease, CNY, self._context.clock.now())

"""The account: billed each week for what was used. Its API states neither a balance nor charges."""

from __future__ import annotations

from gpurent.api import PluginContext, PostpaidBilling
from gpurent_plugin_lambda import wire


class LambdaBilling(PostpaidBilling):
    """Billing for Lambda Cloud: makes no payments, and computes what a machine has cost at most."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, wire.SERVICE, wire.USD, context.settings["billing_page"])

"""The price of one order, within the budgets."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.offer import Order
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import Funding, Quotes, required_amount


@frozen
class OrderPricer:
    quotes: Quotes
    budgets: Budgets

    async def price_order(self, trip_id: str, order: Order) -> Funding:
        """Return the order's funding; raises `BudgetExceeded` if it would exceed a budget."""
        provider = order.offer.provider
        quote = await self.quotes.quote_offer(order.offer, order.term, order.gpus, order.disk)
        await self.budgets.check_budgets(provider, required_amount(quote), trip=trip_id)
        return await self.quotes.get_funding(provider, quote)

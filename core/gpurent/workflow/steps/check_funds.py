"""Step: check the budgets and the balance, and determine how much may be paid at most."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.trip import TripPlan, TripSpec
from gpurent.errors import GpurentError
from gpurent.workflow.payments.budgets import Budgets, BudgetStatus
from gpurent.workflow.payments.quotes import Funding, Quotes, require_funds, required_amount
from gpurent.workflow.runtime.durable_steps import TripContext


@frozen
class CheckFundsStep:
    budgets: Budgets
    quotes: Quotes

    async def check_funds(self, trip: TripContext, spec: TripSpec, plan: TripPlan) -> Funding:
        """Run `check_funds_now` once per trip."""
        return await trip.step("check-funds", Funding, lambda: self.check_funds_now(trip, spec, plan))

    async def check_funds_now(self, trip: TripContext, spec: TripSpec, plan: TripPlan) -> Funding:
        """Raise `MoneyError` if a budget or the balance is too small; nothing has been spent then."""
        await self.budgets.check_budgets(spec.provider, required_amount(plan.quote), trip=trip.id)
        funding = await self.quotes.get_funding(spec.provider, plan.quote, spec.limits.budget)
        require_funds(spec.provider, plan.quote, funding)
        return funding

    async def review_funds(
        self, spec: TripSpec, plan: TripPlan
    ) -> tuple[Sequence[BudgetStatus], Funding, tuple[str, ...]]:
        """Return the status of each budget, the funding, and the reasons for refusal, for a trip that has not begun.

        Unlike `check_funds`, it collects all reasons, one text each.
        """
        own = [] if spec.limits.budget is None else [self.budgets.new_trip_status(spec.limits.budget)]
        statuses = [*own, *await self.budgets.list_statuses(spec.provider)]
        refused = []
        for status in statuses:
            try:
                await self.budgets.check_limit(status, required_amount(plan.quote))
            except GpurentError as error:
                refused.append(error.message)
        funding = await self.quotes.get_funding(spec.provider, plan.quote, spec.limits.budget)
        try:
            require_funds(spec.provider, plan.quote, funding)
        except GpurentError as error:
            refused.append(error.message)
        return statuses, funding, tuple(refused)

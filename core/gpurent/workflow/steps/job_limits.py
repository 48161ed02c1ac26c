"""The limits of a running job, budget and deadline: checked with each look at its machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.trip import TripSpec
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.job_budget import JobBudget
from gpurent.workflow.runtime.download_reserve import DownloadReserve
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.timing.guard_policy import GuardPolicies
from gpurent.workflow.timing.job_deadline import JobDeadline


@frozen
class JobLimits:
    budgets: Budgets
    policies: GuardPolicies
    clocks: ProviderClocks

    def make_check(
        self, trip: TripContext, spec: TripSpec, limit: Money | None
    ) -> Callable[[Lease], Awaitable[None]]:
        """Return a check that raises `BudgetExceeded` while there is still time to download the results.

        ``limit``: the trip's budget, as converted when the trip began.
        """
        clock = self.clocks.clock_of(spec.provider)
        budget = JobBudget(self.budgets, DownloadReserve(clock, trip), limit)
        deadline = JobDeadline(self.policies, DownloadReserve(clock, trip), spec)

        async def check(lease: Lease) -> None:
            await budget.check_lease(lease)
            await deadline.check_lease(lease)

        return check

"""The deadline check while a job runs. Without it, a run would leave its deadline to the machine and the guard."""

from __future__ import annotations

from attrs import define

from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripSpec
from gpurent.errors import BudgetExceeded, Spent
from gpurent.locale import _
from gpurent.workflow.runtime.download_reserve import DOWNLOAD_RESERVE, DownloadReserve
from gpurent.workflow.timing.guard_policy import GuardPolicies


@define(eq=False)
class JobDeadline:
    """The deadline of a running job, by its trip's options, its project file and the user's configuration."""

    policies: GuardPolicies
    reserve: DownloadReserve
    spec: TripSpec

    async def check_lease(self, lease: Lease) -> None:
        """Raise `BudgetExceeded` if the deadline is so near that the results have to be downloaded now."""
        policy = self.policies.get_policy(
            lease.provider, self.spec, lease=lease.id, trip=self.reserve.trip.id
        )
        deadline = policy.resolve_deadline(lease.started_at)
        if deadline is None:
            return
        now = self.reserve.clock.now()
        began = lease.started_at or lease.adopted_at or now
        at_least = min(DOWNLOAD_RESERVE, (deadline - began) / 4)
        if now >= deadline - await self.reserve.measure(now - began, at_least=at_least):
            raise BudgetExceeded(
                _("the deadline of {at:%Y-%m-%d %H:%M} UTC has come").format(at=deadline),
                hint=_("The job was stopped; existing results will be downloaded."),
                spent=Spent.YES,
            )

"""The budget of a job that runs on a meter: stopped while what is left still brings the results home."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.errors import GpurentError, OverBudget, Spent
from gpurent.locale import _
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.runtime.durable_steps import TripContext

LOOK = timedelta(seconds=60)
# So much time's cost at least is kept back, to bring the results home.
SAVE = timedelta(minutes=5)


class JobBudget:
    """``limit`` is the trip's budget as it was converted when the trip began."""

    def __init__(self, trail: TripContext, limit: Money | None) -> None:
        self._trail, self._limit, self._desk = trail, limit, trail.desk
        self._looked_at = trail.desk.clock.now()

    async def mind(self, lease: Lease) -> None:
        """`OverBudget` when a metered lease has used up a budget, its trip's or the month's."""
        price = lease.offer.tariff.price
        if not isinstance(lease.offer.tariff, Metered) or lease.started_at is None:
            return
        stay = self._desk.clock.now() - lease.started_at
        most = price.cost(stay + self._ahead(stay))
        try:
            await budget.mind(self._desk, lease, most, trip=self._trail.trip)
        except OverBudget as error:
            raise _stop(error.message) from None
        except GpurentError as error:
            # No rate now: the one of the beginning has to do.
            self._trail.tell(EventKind.WARNING, error.message, lease=lease.id)
            limit = self._limit
            if limit is not None and limit.currency == most.currency and most > limit:
                raise _stop(_("the budget of {budget} is used up").format(budget=limit)) from None

    def _ahead(self, stay: timedelta) -> timedelta:
        """Until the look after the next, and for the results: as long as the way up took, within reason."""
        now = self._desk.clock.now()
        gap, self._looked_at = now - self._looked_at, now
        leg = self._trail.step.partition(".")[0]
        steps = {row.name: row for row in self._desk.journal.steps(self._trail.trip)}
        begun, pushed = steps.get(f"{leg}.connect"), steps.get(f"{leg}.push")
        up = pushed.done_at - begun.begun_at if begun and pushed and pushed.done_at else SAVE
        return max(LOOK, 2 * gap) + max(SAVE, min(up, stay / 4))


def _stop(why: str) -> OverBudget:
    return OverBudget(why, hint=_("The job was stopped; results that are there come home."), spent=Spent.YES)

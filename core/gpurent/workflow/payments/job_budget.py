"""The budget check while a metered job runs."""

from __future__ import annotations

from attrs import define, field

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.errors import BudgetExceeded, GpurentError, Spent
from gpurent.locale import _
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.meters import OWN_COUNT_TEXT, MeterReading
from gpurent.workflow.runtime.download_reserve import DownloadReserve


@define(eq=False)
class JobBudget:
    """The budget check of a running job. ``limit``: the trip's budget, as converted when the trip began."""

    budgets: Budgets
    reserve: DownloadReserve
    limit: Money | None
    _reported: set[str] = field(factory=set, init=False)

    async def check_lease(self, lease: Lease) -> None:
        """Raise `BudgetExceeded` if a metered lease has used up the budget of its trip or of the month."""
        if not isinstance(lease.offer.tariff, Metered) or lease.started_at is None:
            return
        reading = await self.budgets.meters.read_meter(lease)
        if reading.problem:
            text = _("the charges so far cannot be read, so gpurent counts them itself: {why}")
            self._report(text.format(why=reading.problem), lease)
        most = reading.used + reading.price.cost(
            await self.reserve.measure(self.budgets.meters.get_time(lease) - lease.started_at)
        )
        try:
            await self.budgets.check_metered_lease(lease, most, trip=self.reserve.trip.id)
        except BudgetExceeded as error:
            raise _stopped_error(error.message, reading) from None
        except GpurentError as error:
            # No current exchange rate: use the limit as converted at the beginning.
            self._report(error.message, lease)
            limit = self.limit
            if limit is not None and limit.currency == most.currency and most > limit:
                text = _("the budget of {budget} is used up").format(budget=limit)
                raise _stopped_error(text, reading) from None

    def _report(self, problem: str, lease: Lease) -> None:
        """Emit each problem once."""
        if problem and problem not in self._reported:
            self._reported.add(problem)
            self.reserve.trip.emit(EventKind.WARNING, problem, lease=lease.id)


def _stopped_error(why: str, reading: MeterReading) -> BudgetExceeded:
    hint = _("The job was stopped; existing results will be downloaded.")
    if reading.is_own_count:
        hint = f"{_(OWN_COUNT_TEXT)}\n{hint}"
    return BudgetExceeded(why, hint=hint, spent=Spent.YES)

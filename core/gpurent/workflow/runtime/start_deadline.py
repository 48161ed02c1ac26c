"""Until when a machine that was just ordered has to answer."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.errors import Spent, StartFailed
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.workflow.runtime.durable_steps import TripContext


@frozen(kw_only=True)
class StartDeadline:
    """``within`` is the user's limit, from the order on; ``at`` when it ends, in provider time."""

    within: timedelta
    at: datetime

    def make_error(self, lease: Lease) -> StartFailed:
        return StartFailed(
            _("{lease} did not answer within {span} of its order").format(
                lease=lease.id, span=format_duration(self.within)
            ),
            spent=Spent.YES if lease.has_cost else Spent.UNKNOWN,
            burning=(lease.id,),
        )


async def find_start_deadline(trip: TripContext, leg: str, within: timedelta | None) -> StartDeadline | None:
    """Return the deadline of the machine of ``leg``; None without a limit, or once the machine has answered."""
    if within is None or await trip.step_done_at(f"{leg}.connect") is not None:
        return None
    ordered_at = await trip.step_done_at(f"{leg}.confirm")
    return None if ordered_at is None else StartDeadline(within=within, at=ordered_at + within)

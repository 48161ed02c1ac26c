"""How long before a limit the job of a trip has to stop, so that its results are downloaded by then."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import define, field

from gpurent.ports.system import Clock
from gpurent.workflow.runtime.durable_steps import TripContext

CHECK_INTERVAL = timedelta(seconds=60)
DOWNLOAD_RESERVE = timedelta(minutes=5)


@define(eq=False)
class DownloadReserve:
    """The time to keep free, asked for at each check: until the check after next, and for the results."""

    clock: Clock
    trip: TripContext
    _checked_at: datetime = field(init=False)

    @_checked_at.default
    def _now(self) -> datetime:
        return self.clock.now()

    async def measure(self, stay: timedelta, *, at_least: timedelta = DOWNLOAD_RESERVE) -> timedelta:
        """Return the time to keep free after ``stay``, based on the upload's; ``at_least`` for the download."""
        now = self._now()
        gap, self._checked_at = now - self._checked_at, now
        # The leg that the current step belongs to.
        steps, leg = await self.trip.steps_by_name(), self.trip.current_step.partition(".")[0]
        begun, pushed = steps.get(f"{leg}.connect"), steps.get(f"{leg}.upload")
        upload = (
            pushed.done_at - begun.started_at if begun and pushed and pushed.done_at else DOWNLOAD_RESERVE
        )
        return max(CHECK_INTERVAL, 2 * gap) + max(at_least, min(upload, stay / 4))

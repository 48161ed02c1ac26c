"""The facts about one lease at one moment, as plain values: the only input of the guard's decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from gpurent.domain.job import JobState, JobStatus
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.time_left import TimeLeft

DEFAULT_CONNECT_TIME = timedelta(seconds=30)
DEFAULT_UPLOAD_RATE = 1 << 20
SAVE_MARGIN = timedelta(minutes=1)


@frozen(kw_only=True)
class ObservedMachine:
    """One observation over SSH, which took ``duration``. Loads are percentages, None if not known.

    ``cpu`` is the mean since the previous observation. ``output_at`` is when a session last wrote output,
    ``result_size`` the bytes of the results. Measured by the machine's clocks: ``ticks`` (busy, total) of its CPUs, and
    ``last_write``, the same moment as ``output_at``.
    """

    at: datetime
    duration: timedelta
    job: JobStatus | None = None
    cpu: int | None = None
    gpu: int | None = None
    output_at: datetime | None = None
    attached: bool = False
    result_size: int | None = None
    ticks: tuple[int, int] | None = None
    last_write: int | None = None


@frozen(kw_only=True)
class MonthLeft:
    """What is left of a monthly budget: ``left`` may be negative; ``burn`` is the sum of all meters that it covers."""

    left: Money
    burn: UnitPrice


@frozen(kw_only=True)
class LeaseFacts:
    """All that is known about one lease at ``now``.

    ``price`` is what this lease alone burns, if it is metered. ``known_to_provider``: the provider's own lists and
    books include it. ``spent`` and ``budget`` are in one currency; ``month_left`` is shared with other leases.
    ``is_own_count``: ``spent`` was counted by gpurent, because no current statement of the provider says more.

    ``trip_id`` is the open trip that created the lease, ``is_attended`` whether a live process works on it,
    ``has_results`` whether it has results to download. ``saved_at``: when they were last downloaded. ``warned_at``:
    active warnings, and since when. ``renewal_count``: how often the guard has renewed. ``top_up_requested``: the user
    has been asked to top up. ``timer_until``: when the timer inside the machine fires, ``timer_by_policy`` whether only
    a policy armed it. ``upload_rate``: bytes per second as measured on this machine. ``warning_thresholds``: how long
    before the end the user is warned. ``results_kept_until``: until when the machine of a job that is over is kept for
    its results; None if it is not.
    """

    lease: Lease
    now: datetime
    time_left: TimeLeft
    known_to_provider: bool = True
    can_renew: bool = False
    price: UnitPrice | None = None
    spent: Money | None = None
    is_own_count: bool = False
    budget: Money | None = None
    month_left: MonthLeft | None = None
    trip_id: str = ""
    is_attended: bool = False
    launched: bool = False
    has_results: bool = False
    machine: ObservedMachine | None = None
    idle_since: datetime | None = None
    upload_rate: int = 0
    renewal_count: int = 0
    top_up_requested: bool = False
    timer_until: datetime | None = None
    timer_by_policy: bool = False
    warning_thresholds: tuple[timedelta, ...] = ()
    warned_at: Mapping[str, datetime] = field(factory=dict)
    saved_at: datetime | None = None
    results_kept_until: datetime | None = None

    @property
    def is_job_over(self) -> bool:
        """Whether the trip's job is known to be over: it ended, or it disappeared."""
        job = self.machine.job if self.machine else None
        return job is not None and job.state in (JobState.ENDED, JobState.LOST)

    @property
    def save_duration(self) -> timedelta:
        """The estimated time to save the results and release the machine, from measurements, with a margin."""
        if not self.has_results:
            return SAVE_MARGIN
        took = self.machine.duration if self.machine else DEFAULT_CONNECT_TIME
        size = (self.machine.result_size if self.machine else None) or 0
        # Ten round trips as long as the observation: connect, stop the job, list, download, verify, release.
        return (
            SAVE_MARGIN + 10 * took + timedelta(seconds=2 * size // (self.upload_rate or DEFAULT_UPLOAD_RATE))
        )

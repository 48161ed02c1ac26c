"""What is known of one lease at one moment, as plain values: all that a decision rests on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.session import JobState, JobStatus
from gpurent.domain.time_left import TimeLeft

DEFAULT_CONNECT_TIME = timedelta(seconds=30)
DEFAULT_UPLOAD_RATE = 1 << 20
SAVE_MARGIN = timedelta(minutes=1)


@frozen(kw_only=True)
class ObservedMachine:
    """One look over SSH that took ``duration``. Loads in percent, None when not known.

    ``cpu`` is the mean since the look before. ``output_at`` is when a session last wrote; ``result_size`` the
    results' bytes. By the machine's own measure: ``ticks`` (busy, all) of its processors, ``last_write`` as
    ``output_at``.
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
    """What a month's budget leaves: ``left`` may be below zero; ``burn`` is what all meters under it cost together."""

    left: Money
    burn: UnitPrice


@frozen(kw_only=True)
class LeaseFacts:
    """``time_left``: how long it lasts.

    ``price``: what this lease alone burns, on a meter. ``known_to_provider``: its provider's own lists and books know
    it.

    ``spent`` and ``budget`` are in one currency; ``month_left`` is what it shares. ``trip`` is the open trip that
    made the lease, ``is_attended`` whether a living process works on it, ``results`` whether it has any to download.
    ``warned_at``: warnings that stand, and since when. ``renewal_count``: how often the guard renewed.
    ``top_up_requested``: the user has been asked to top up. ``timer_until``: when the timer inside the machine fires,
    ``timer_by_policy`` whether only a policy armed it. ``upload_rate``: bytes a second as measured on this machine.
    ``alarm_thresholds``: how long before the end the user is warned.
    """

    lease: Lease
    now: datetime
    time_left: TimeLeft
    known_to_provider: bool = True
    can_renew: bool = False
    price: UnitPrice | None = None
    spent: Money | None = None
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
    alarm_thresholds: tuple[timedelta, ...] = ()
    warned_at: Mapping[str, datetime] = field(factory=dict)
    saved_at: datetime | None = None

    @property
    def is_job_over(self) -> bool:
        """Whether the trip's job is known to be over: ended, or gone without a word."""
        job = self.machine.job if self.machine else None
        return job is not None and job.state in (JobState.ENDED, JobState.LOST)

    @property
    def save_duration(self) -> timedelta:
        """How long it takes to download the results, by what was measured, with a margin."""
        if not self.has_results:
            return SAVE_MARGIN
        took = self.machine.duration if self.machine else DEFAULT_CONNECT_TIME
        size = (self.machine.result_size if self.machine else None) or 0
        # Ten times a look: connect, stop the job, see what is there, download it, verify it, release.
        return (
            SAVE_MARGIN + 10 * took + timedelta(seconds=2 * size // (self.upload_rate or DEFAULT_UPLOAD_RATE))
        )

"""What happens on a trip, told to whoever shows it, and what is sent to a user who is not at the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen


class EventKind(Enum):
    """The names are append-only: notifiers and scripts depend on them."""

    STEP_BEGUN = "step-begun"
    STEP_DONE = "step-done"
    WAITING = "waiting"
    LEASE_CHANGED = "lease-changed"
    PAYING = "paying"
    PAID = "paid"
    PROGRESS = "progress"
    JOB_OUTPUT = "job-output"
    JOB_STARTED = "job-started"
    JOB_ENDED = "job-ended"
    CONNECTION_LOST = "line-lost"
    CONNECTION_RESTORED = "line-back"
    TIME_LOW = "time-low"
    RELEASED = "released"
    WARNING = "warning"
    TIME_LEFT = "time-left"
    TIMER = "timer"
    FAILED = "failed"
    TEST = "test"
    RENEWED = "renewed"
    RESULTS_SAVED = "saved"
    TOP_UP = "top-up"
    TOPPED_UP = "topped-up"
    MANUAL_TASK = "by-hand"
    HOST_KEY = "host-key"


@frozen(kw_only=True)
class Event:
    """``text`` is for people, already in their language; ``data`` is for scripts and never holds a secret."""

    kind: EventKind
    at: datetime
    trip: str = ""
    lease: str = ""
    step: str = ""
    text: str = ""
    data: Mapping[str, str | int] = field(factory=dict)


class NoticeLevel(Enum):
    """How much a notice matters, the least first."""

    DETAIL = "detail"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"

    @property
    def rank(self) -> int:
        return list(NoticeLevel).index(self)


@frozen(kw_only=True)
class Notice:
    """One message about ``event``.

    ``id`` is unique and stays the same when the message is sent again: receivers may drop the second. ``title`` is one
    line, ``body`` some lines, both in the user's language, without secrets and without control characters.
    """

    id: str
    level: NoticeLevel
    title: str
    body: str
    event: Event

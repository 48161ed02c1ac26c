"""Events of a trip, and the notices sent to a user who is not at the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.terminal_text import NO_TEXT, ForeignLines, ForeignText


class EventKind(Enum):
    """The kinds of events. The values are append-only, because notifiers and scripts depend on them."""

    STEP_STARTED = "step-started"
    STEP_DONE = "step-done"
    WAITING = "waiting"
    LEASE_CHANGED = "lease-changed"
    PAYING = "paying"
    PAID = "paid"
    PROGRESS = "progress"
    JOB_OUTPUT = "job-output"
    JOB_STARTED = "job-started"
    JOB_ENDED = "job-ended"
    CONNECTION_LOST = "connection-lost"
    CONNECTION_RESTORED = "connection-restored"
    TIME_LOW = "time-low"
    RELEASED = "released"
    WARNING = "warning"
    TIME_LEFT = "time-left"
    TIMER = "timer"
    FAILED = "failed"
    TEST = "test"
    RENEWED = "renewed"
    RESULTS_SAVED = "results-saved"
    TOP_UP = "top-up"
    TOPPED_UP = "topped-up"
    MANUAL_TASK = "manual-task"
    HOST_KEY = "host-key"
    PRICE = "price"


@frozen(kw_only=True)
class Event:
    """Something that happened. ``text`` is for people, in their language; ``data`` is for scripts, without secrets."""

    kind: EventKind
    at: datetime
    trip: str = ""
    lease: str = ""
    step: str = ""
    text: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    data: Mapping[str, str | int] = field(factory=dict)


class NoticeLevel(Enum):
    """How important a notice is, least important first."""

    DETAIL = "detail"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"

    @property
    def rank(self) -> int:
        return list(NoticeLevel).index(self)


@frozen(kw_only=True)
class Notice:
    """A message about ``event``.

    ``id`` is unique and stays the same when the message is sent again, so that receivers can drop duplicates. ``title``
    is one line, ``body`` several lines; both are in the user's language, without secrets and without control
    characters.
    """

    id: str
    level: NoticeLevel
    title: ForeignText = field(converter=ForeignText)
    body: ForeignLines = field(converter=ForeignLines)
    event: Event

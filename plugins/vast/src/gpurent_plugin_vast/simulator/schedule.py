"""A scheduled job: a call that the service makes by itself, at minute 0 of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import define

HOUR = timedelta(hours=1)
STEPS = {"HOURLY": HOUR, "DAILY": timedelta(days=1), "WEEKLY": timedelta(days=7)}


@define(eq=False, kw_only=True)
class ScheduledJob:
    """``next_at``: when it runs next; None once its end has passed. Daily and weekly jobs begin at their start's hour.

    As clients have seen it: the hour that the start lies in counts, so that a job may run before its start.
    """

    id: int
    instance_id: int
    path: str
    method: str
    body: Mapping[str, Any]
    frequency: str
    start: datetime
    end: datetime
    next_at: datetime | None = None

    def find_next(self, after: datetime) -> None:
        """Set when it runs next, after that moment."""
        at = self.start.replace(minute=0, second=0, microsecond=0)
        step = STEPS[self.frequency]
        if at <= after:
            at += ((after - at) // step + 1) * step
        self.next_at = at if at <= self.end else None

    @property
    def stops(self) -> bool:
        return self.method == "PUT" and self.body.get("state") == "stopped"

"""A trip's journal as the steps use it: what was done is recalled, what was not is done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from gpurent.domain.events import EventKind

if TYPE_CHECKING:
    from gpurent.workflow.runtime.desk import Desk

T = TypeVar("T")


class TripContext:
    """The journal of one trip. Every step goes through `once`; a killed trip is resumed by walking again."""

    def __init__(self, desk: Desk, trip: str) -> None:
        self.desk = desk
        self.trip = trip
        self.step = ""

    async def once(
        self, step: str, kind: type[T], make: Callable[[], Awaitable[T]], *, quiet: bool = False
    ) -> T:
        """What ``step`` gave, recalled if it was recorded; else begun, made and recorded.

        ``make`` may run again after a kill between its effect and the record, so it must be idempotent.
        """
        journal = self.desk.journal
        known = journal.recall(self.trip, step, kind)
        if known is not None:
            return known
        journal.begin(self.trip, step)
        self.step = step
        if not quiet:
            self.tell(EventKind.STEP_BEGUN)
        value = await make()
        journal.record(self.trip, step, value)
        if not quiet:
            self.tell(EventKind.STEP_DONE)
        return value

    def done_at(self, step: str) -> datetime | None:
        """When ``step`` was recorded, in provider time."""
        for row in self.desk.journal.steps(self.trip):
            if row.name == step:
                return row.done_at
        return None

    def tell(self, kind: EventKind, text: str = "", lease: str = "", **data: str | int) -> None:
        self.desk.tell(kind, text, trip=self.trip, lease=lease, step=self.step, **data)

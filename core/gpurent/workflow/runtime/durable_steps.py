"""The trips as the Store has them, and their durable steps: what was done is recalled, what was not is done once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

from attrs import define, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.trip import StepRecord, TripRecord, TripSpec
from gpurent.errors import BusyError, GpurentError, InputRequired, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.ports.store import TripStore
from gpurent.ports.system import Clock
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.waiting import WorkLocks

T = TypeVar("T")
# Nothing is known to be wrong: a trip that fails with one of these stays open, to be resumed.
RESUMABLE_ERRORS = (UnavailableError, InputRequired, BusyError)
_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@frozen(kw_only=True)
class Timestamp:
    """When something was done (provider time): all that some steps record, and all that is read of others."""

    at: datetime


@define
class TripContext:
    """One trip. Every step goes through `step`; a killed trip is resumed by walking again.

    ``current_step``: the step that was begun last. Two tasks of one trip take a context each, so that neither speaks in
    the other's name.
    """

    store: TripStore
    events: EventEmitter
    id: str
    current_step: str = ""

    async def step(
        self, name: str, kind: type[T], action: Callable[[], Awaitable[T]], *, quiet: bool = False
    ) -> T:
        """What the step ``name`` gave, recalled if it was recorded; else begun, made and recorded.

        ``action`` may run again after a kill between its effect and the record, so it must be idempotent.
        """
        known = self.store.find_step_value(self.id, name, kind)
        if known is not None:
            return known
        self.store.begin_step(self.id, name)
        self.current_step = name
        if not quiet:
            self.emit(EventKind.STEP_BEGUN)
        value = await action()
        self.store.record_step(self.id, name, value)
        if not quiet:
            self.emit(EventKind.STEP_DONE)
        return value

    async def record_result(self, name: str, value: T) -> T:
        """A value that was made before, recorded once: the first one that was kept."""

        async def given() -> T:
            return value

        return await self.step(name, type(value), given, quiet=True)

    def find_result(self, name: str, kind: type[T]) -> T | None:
        return self.store.find_step_value(self.id, name, kind)

    def steps_by_name(self) -> dict[str, StepRecord]:
        return {record.name: record for record in self.store.list_steps(self.id)}

    def step_done_at(self, name: str) -> datetime | None:
        """When the step was recorded, in provider time."""
        record = self.steps_by_name().get(name)
        return record.done_at if record is not None else None

    def emit(self, kind: EventKind, text: str = "", lease: str = "", **data: str | int) -> None:
        self.events.emit(kind, text, trip=self.id, lease=lease, step=self.current_step, **data)


@frozen
class TripTracker:
    store: TripStore
    events: EventEmitter
    locks: WorkLocks
    clock: Clock

    def list_trips(self, lease: str = "") -> Sequence[TripRecord]:
        return self.store.list_trips(lease)

    def get_trip(self, trip_id: str) -> TripRecord:
        """The trip with this id or its only match; empty: the only one under way."""
        records = self.list_trips()
        found = [record for record in records if record.id == trip_id]
        if not found and trip_id:
            found = [record for record in records if record.id.endswith(trip_id)]
        elif not found:
            found = [record for record in records if record.is_open and record.kind != "guard"]
        if len(found) != 1:
            many = ", ".join(record.id for record in found) or _("none")
            raise UsageError(_("which trip? ({many})").format(many=many), hint=_("See: gpurent trips"))
        return found[0]

    def begin_trip(self, kind: str, spec: TripSpec, lease: str = "") -> TripContext:
        day = self.clock.now().strftime("%m%d")
        trip_id = f"t{day}-{''.join(secrets.choice(_ID_ALPHABET) for _i in range(5))}"
        self.store.begin_trip(trip_id, kind, spec, lease)
        return self.context_of(trip_id)

    def context_of(self, trip_id: str) -> TripContext:
        return TripContext(self.store, self.events, trip_id)

    def lock_trip(self, trip_id: str) -> AbstractContextManager[None]:
        return self.locks.lock_trip(trip_id)

    def end_trip(self, trip_id: str, outcome: str = "done") -> None:
        """It cannot be resumed any more."""
        self.store.end_trip(trip_id, outcome)

    def fail_trip(self, trip_id: str, error: GpurentError) -> None:
        self.store.end_trip(trip_id, f"failed: {error.code}")

"""Trips and their durable steps: a recorded step is never run again, only its result is returned."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import TypeVar

from attrs import define, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.id_matching import find_id, suggest_id
from gpurent.domain.outcomes import DONE, TripOutcome, format_outcome
from gpurent.domain.trip import StepRecord, TripRecord, TripSpec
from gpurent.errors import (
    BusyError,
    ForeignMachine,
    GpurentError,
    InputRequired,
    OtherAccount,
    PluginError,
    StorageError,
    UnavailableError,
    UnexpectedResponse,
    UsageError,
)
from gpurent.locale import _, join_list
from gpurent.ports.store import LockedTripStore
from gpurent.ports.system import Clock
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.locks import WorkLocks

T = TypeVar("T")
# Temporary errors: a trip that fails with one of these stays open and can be resumed.
RESUMABLE_ERRORS = (UnavailableError, InputRequired, BusyError, StorageError, OtherAccount)
# These say nothing about the machine either: one that is rented is not released because of them.
INCONCLUSIVE_ERRORS = (*RESUMABLE_ERRORS, UnexpectedResponse, PluginError, ForeignMachine)
LOST_OFFER = ".lost-offer"
LOST_PROVIDER = ".lost-provider"
# Trips that the guard began have ids that start so.
GUARD_PREFIX = "guard-"


def describe_continuation(trip_id: str, text: str) -> str:
    """Return how to go on with a trip: ``text`` with its ``{trip}``; of the guard's own trips, what the guard does."""
    if trip_id.startswith(GUARD_PREFIX):
        return _("The guard finishes it: gpurent watch --once")
    return text.format(trip=trip_id)


_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def make_random_mark() -> str:
    """Return the random end of an id: five letters and digits, none easily confused."""
    return "".join(secrets.choice(_ID_ALPHABET) for _i in range(5))


@frozen(kw_only=True)
class Timestamp:
    """When something was done (provider time). Some steps record only this; of others, only this is read back."""

    at: datetime


@define
class TripContext:
    """One trip. All work goes through `step`, so a killed trip is resumed by running it again from the start.

    ``current_step`` is the step begun last. Concurrent tasks of a trip each need their own context, so that their
    events name the right step.
    """

    store: LockedTripStore
    events: EventEmitter
    id: str
    current_step: str = ""

    async def step(
        self, name: str, kind: type[T], action: Callable[[], Awaitable[T]], *, quiet: bool = False
    ) -> T:
        """Return the recorded result of the step ``name``; if there is none, run ``action`` and record its result.

        ``action`` runs again if the process is killed before recording, so it must be idempotent.
        """
        known = await self.store.find_step_value(self.id, name, kind)
        if known is not None:
            return known
        await self.store.begin_step(self.id, name)
        self.current_step = name
        if not quiet:
            self.emit(EventKind.STEP_STARTED)
        value = await action()
        await self.store.record_step(self.id, name, value)
        if not quiet:
            self.emit(EventKind.STEP_DONE)
        return value

    async def record_result(self, name: str, value: T) -> T:
        """Record an existing value as a step; return the one that was recorded first."""

        async def given() -> T:
            return value

        return await self.step(name, type(value), given, quiet=True)

    async def discard_attempt(self, first: str, lost: str, keep: tuple[str, ...]) -> None:
        """Forget the steps from ``first`` on, in which nothing was bought; ``lost`` is kept as what was not available.

        Steps whose names begin with one of ``keep`` stay. The next `step` of each other one runs again.
        """
        names = [record.name for record in await self.store.list_steps(self.id)]
        await self._record_lost(LOST_OFFER, lost, await self.list_lost_offers())
        if first in names:
            later = names[names.index(first) :]
            void = (name for name in later if not name.endswith(LOST_OFFER) and not name.startswith(keep))
            await self.store.discard_steps(self.id, void)

    async def discard_provider(self, name: str) -> None:
        """Forget all steps, in which nothing was bought, but what was not available; ``name`` has no machine for it."""
        await self._record_lost(LOST_PROVIDER, name, await self.list_lost_providers())
        marks = (LOST_OFFER, LOST_PROVIDER)
        names = [record.name for record in await self.store.list_steps(self.id)]
        await self.store.discard_steps(self.id, (name for name in names if not name.endswith(marks)))

    async def _record_lost(self, suffix: str, lost: str, before: Sequence[str]) -> None:
        mark = f"{len(before) + 1}{suffix}"
        await self.store.begin_step(self.id, mark)
        await self.store.record_step(self.id, mark, lost)

    async def may_have_paid(self) -> bool:
        """Whether a payment of this trip was begun, so that money may be on the way."""
        return any(record.name.endswith(".pay") for record in await self.store.list_steps(self.id))

    async def list_lost_offers(self) -> tuple[str, ...]:
        """Return the offers that were taken by others when this trip ordered them, oldest first."""
        return tuple(key for _name, key in await self.store.list_recorded_steps(self.id, LOST_OFFER, str))

    async def list_lost_providers(self) -> tuple[str, ...]:
        """Return the providers whose last fitting machine was taken by others, oldest first."""
        return tuple(
            name for _name, name in await self.store.list_recorded_steps(self.id, LOST_PROVIDER, str)
        )

    async def replace_result(self, name: str, value: object) -> None:
        """Replace the recorded result of the step ``name``, which nothing has been built on yet."""
        await self.store.record_step(self.id, name, value)

    async def find_result(self, name: str, kind: type[T]) -> T | None:
        return await self.store.find_step_value(self.id, name, kind)

    async def steps_by_name(self) -> dict[str, StepRecord]:
        return {record.name: record for record in await self.store.list_steps(self.id)}

    async def step_done_at(self, name: str) -> datetime | None:
        """Return when the step was recorded (provider time)."""
        record = (await self.steps_by_name()).get(name)
        return record.done_at if record is not None else None

    async def require_lock(self) -> None:
        """Raise `LockLost` if another process has taken over this trip: then nothing that failed here counts."""
        with suppress(StorageError):
            await self.store.require_locks()

    def announce_continuation(self, lease: str = "") -> None:
        """Tell the user that the command that was typed goes on with this trip."""
        text = _("trip {trip} has begun this already and did not finish; continuing with it")
        self.emit(EventKind.WARNING, text.format(trip=self.id), lease=lease)

    def emit(self, kind: EventKind, text: str = "", lease: str = "", **data: str | int) -> None:
        self.events.emit(kind, text, trip=self.id, lease=lease, step=self.current_step, **data)


def require_open(record: TripRecord) -> None:
    """Raise `UsageError` if the trip has ended."""
    if record.outcome is not None:
        text = _("{trip} has ended: {outcome}")
        raise UsageError(text.format(trip=record.id, outcome=format_outcome(record.outcome)))


def _choose_open_trip(records: Sequence[TripRecord]) -> TripRecord:
    found = [record for record in records if record.is_open and record.kind != "guard"]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(_("no trip is in progress"), hint=_("See: gpurent trips"))
    raise UsageError(
        _("which trip? ({many})").format(many=join_list(record.id for record in found)),
        hint=_("Resume one of them, or all: gpurent resume --all"),
    )


@frozen
class TripTracker:
    store: LockedTripStore
    events: EventEmitter
    locks: WorkLocks
    clock: Clock

    async def list_trips(self, lease: str = "") -> Sequence[TripRecord]:
        return await self.store.list_trips(lease)

    async def get_trip(self, trip_id: str) -> TripRecord:
        """Return the trip that ``trip_id`` means, by `domain.id_matching`; with an empty id, the only open trip.

        Raises `UsageError` if there is not exactly one.
        """
        records = await self.list_trips()
        if not trip_id:
            return _choose_open_trip(records)
        known = {record.id: record for record in records}
        found = find_id(trip_id, known)
        if found is not None:
            return known[found]
        raise UsageError(
            _("no such trip: {given}").format(given=trip_id),
            hint=suggest_id(trip_id, known, _("See: gpurent trips")),
        )

    async def begin_trip(self, kind: str, spec: TripSpec, lease: str = "", trip_id: str = "") -> TripContext:
        """Record a new trip; ``trip_id``: of `make_trip_id`, if it is needed before."""
        trip_id = trip_id or self.make_trip_id()
        await self.store.begin_trip(trip_id, kind, spec, lease)
        return self.context_of(trip_id)

    def make_trip_id(self) -> str:
        """Return an id for a new trip."""
        return f"t{self.clock.now():%m%d}-{make_random_mark()}"

    def context_of(self, trip_id: str) -> TripContext:
        return TripContext(self.store, self.events, trip_id)

    def lock_trip(self, trip_id: str) -> AbstractAsyncContextManager[None]:
        return self.locks.lock_trip(trip_id)

    @asynccontextmanager
    async def lock_open_trip(self, trip_id: str) -> AsyncIterator[TripRecord]:
        """Lock a trip that has not ended, and yield it as it is then: another process may have changed it until now.

        Raises `BusyError` if another process holds it, `UsageError` if it has ended.
        """
        async with self.lock_trip(trip_id):
            record = await self.get_trip(trip_id)
            require_open(record)
            yield record

    async def end_trip(self, trip_id: str, outcome: TripOutcome = DONE) -> None:
        """End the trip; it can no longer be resumed."""
        await self.store.end_trip(trip_id, outcome)

    async def end_shown_trip(self, trip_id: str, show: Callable[[], Awaitable[None]]) -> None:
        """Show the user the trip's result, then end the trip.

        In this order, because the command is typed again if its process dies before it has shown anything: it then
        shows the result, and does not rent, or buy time, once more.
        """
        try:
            await show()
        except Exception:
            await self.store.end_trip(trip_id, DONE)  # nobody reads the output: there is nothing to wait for
            raise
        await self.store.end_trip(trip_id, DONE)

    async def fail_trip(self, trip_id: str, error: GpurentError) -> None:
        await self.store.end_trip(trip_id, TripOutcome.from_error(error))

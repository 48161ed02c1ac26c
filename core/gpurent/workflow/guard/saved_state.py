"""The guard's state in the Store: its own trips, and what it remembers about each lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import define, field, frozen

from gpurent.domain.guard_actions import ActionKind, GuardAction
from gpurent.domain.guard_memory import GuardMemory
from gpurent.domain.outcomes import OutcomeKind, TripOutcome
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import GpurentError, Spent
from gpurent.ports.system import ProviderClock, ProviderClocks
from gpurent.ports.watch_store import GuardStore
from gpurent.workflow.guard.facts import DEFAULT_CONNECT_TIME, ObservedMachine
from gpurent.workflow.payments.trip_spending import TripSpending
from gpurent.workflow.runtime.durable_steps import GUARD_PREFIX, TripTracker

GUARD_SCOPE = "guard"


def make_action_id(action: GuardAction, lease: str) -> str:
    """Return the id of the trip that does ``action``: the same in every process, so that it is done once."""
    name = f"{GUARD_PREFIX}{action.kind.value}-{lease or action.billing}"
    return name if action.at is None else f"{name}-{action.at:%Y%m%dt%H%M%S}"


def is_action(record: TripRecord, kind: ActionKind | None = None) -> bool:
    """Return whether the guard created the trip, and for an action of ``kind`` if that is given."""
    return record.action is not None and kind in (None, record.action.kind)


@frozen
class ActionLog(TripTracker):
    """Records the guard's actions before they are performed, as trips of kind ``guard`` with deterministic ids."""

    spending: TripSpending
    clocks: ProviderClocks

    def clock_of(self, provider: str) -> ProviderClock:
        """Return the clock by which the limits of the provider's leases were computed."""
        return self.clocks.clock_of(provider)

    async def begin_action(self, action: GuardAction, spec: TripSpec, lease: str = "") -> TripRecord:
        """Return the open trip of ``action``; if the last attempt failed without spending, begin the next."""
        tries = await self.list_attempts(action, lease)
        if tries and not tries[-1].has_failed:
            return tries[-1]
        name = _numbered_name(make_action_id(action, lease), len(tries) + 1)
        return await self.store.begin_trip(name, GUARD_SCOPE, spec, lease, action)

    async def list_attempts(self, action: GuardAction, lease: str) -> Sequence[TripRecord]:
        """Return every trip that `begin_action` created for ``action``."""
        name, found = make_action_id(action, lease), list[TripRecord]()
        while (record := await self.store.find_trip(_numbered_name(name, len(found) + 1))) is not None:
            found.append(record)
        return found

    async def list_lease_actions(self, lease: str, kind: ActionKind | None = None) -> Sequence[TripRecord]:
        """Return the guard's trips on ``lease``, oldest first; only those of ``kind`` if given."""
        return [record for record in await self.store.list_trips(lease) if is_action(record, kind)]

    async def list_open_actions(self, kind: ActionKind | None = None) -> Sequence[TripRecord]:
        """Return the guard's open trips, oldest first; only those of ``kind`` if given."""
        return [record for record in await self.store.list_open_trips() if is_action(record, kind)]

    async def fail_trip(self, trip_id: str, error: GpurentError) -> None:
        """End the trip as failed if nothing was spent, else as unclear; only a failed one may be attempted again."""
        is_free = await self.spending.find_spending(trip_id, error) is Spent.NO
        kind = OutcomeKind.FAILED if is_free else OutcomeKind.UNKNOWN
        await self.end_trip(trip_id, TripOutcome.from_error(error, kind))


def _numbered_name(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


@define
class LeaseMemory:
    """What is remembered about a lease between two checks. ``warned_at``: active warnings, and since when."""

    machine: ObservedMachine | None = None
    idle_since: datetime | None = None
    warned_at: dict[str, datetime] = field(factory=dict)


@define
class GuardMemories:
    """The memories of all leases, kept in the Store so that a guard started every few minutes also detects idleness."""

    store: GuardStore
    _memories: dict[str, LeaseMemory] = field(factory=dict, init=False)

    async def get_memory(self, lease: str) -> LeaseMemory:
        """Return the memory of ``lease``; call `save_memory` to save changes to it."""
        if lease not in self._memories:
            known = await self.store.find_guard_memory(lease)
            self._memories[lease] = _make_lease_memory(known) if known is not None else LeaseMemory()
        return self._memories[lease]

    async def save_memory(self, lease: str) -> None:
        memory = _make_guard_memory(await self.get_memory(lease))
        if memory != await self.store.find_guard_memory(lease):
            await self.store.put_guard_memory(lease, memory)

    def forget_lease(self, lease: str) -> None:
        """Drop what is held of ``lease`` here; the Store keeps it."""
        self._memories.pop(lease, None)

    async def find_results_saved_at(self, lease: str) -> datetime | None:
        """Return when the last save of the results began, which is how recent the saved files are; None if never."""
        return await self.store.find_results_save_time(lease)

    async def record_results_saved(self, lease: str, at: datetime) -> None:
        await self.store.put_results_save_time(lease, at)


def _make_lease_memory(known: GuardMemory) -> LeaseMemory:
    machine = None
    if known.observed_at is not None:
        machine = ObservedMachine(
            at=known.observed_at,
            duration=DEFAULT_CONNECT_TIME,
            ticks=known.ticks,
            last_write=known.last_write,
            output_at=known.output_at,
        )
    return LeaseMemory(machine=machine, idle_since=known.idle_since, warned_at=dict(known.warned_at))


def _make_guard_memory(memory: LeaseMemory) -> GuardMemory:
    seen = memory.machine
    return GuardMemory(
        observed_at=seen.at if seen else None,
        ticks=seen.ticks if seen else None,
        last_write=seen.last_write if seen else None,
        output_at=seen.output_at if seen else None,
        idle_since=memory.idle_since,
        warned_at=dict(memory.warned_at),
    )

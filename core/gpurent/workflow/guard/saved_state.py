"""The guard's state in the Store: its own trips, and what it remembers about each lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import define, field, frozen

from gpurent.domain.guard_memory import GuardMemory
from gpurent.domain.outcomes import OutcomeKind, TripOutcome
from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import GpurentError, Spent
from gpurent.ports.watch_store import GuardStore
from gpurent.workflow.guard.facts import DEFAULT_CONNECT_TIME, ObservedMachine
from gpurent.workflow.payments.trip_spending import TripSpending
from gpurent.workflow.runtime.durable_steps import GUARD_PREFIX, TripTracker

GUARD_SCOPE = "guard"


def format_timestamp(at: datetime) -> str:
    """Format a time for use in trip ids."""
    return f"{at:%Y%m%dt%H%M%S}"


def make_action_name(kind: str, subject: str, at: datetime | None = None) -> str:
    """Return the id of an action's trip.

    ``kind`` is renew, save, topup, or the reason of an end; ``subject`` is a lease or an account.
    """
    name = f"{GUARD_PREFIX}{kind}-{subject}"
    return name if at is None else f"{name}-{format_timestamp(at)}"


def parse_action_kind(trip: str) -> str:
    return trip.split("-")[1]


def is_action(record: TripRecord, head: str = "") -> bool:
    """Return whether the guard created the trip, with an id that begins with ``head``."""
    return record.kind == GUARD_SCOPE and record.id.startswith(head)


@frozen
class ActionLog(TripTracker):
    """Records the guard's actions before they are performed, as trips of kind ``guard`` with deterministic ids."""

    spending: TripSpending

    def begin_action(self, name: str, spec: TripSpec, lease: str) -> TripRecord:
        """Return the open trip ``name``; if the last attempt failed without spending, begin the next (``name-2``)."""
        tries = self.list_attempts(name)
        if tries and not tries[-1].has_failed:
            return tries[-1]
        return self.store.begin_trip(_numbered_name(name, len(tries) + 1), GUARD_SCOPE, spec, lease)

    def list_attempts(self, name: str) -> Sequence[TripRecord]:
        """Return every trip that `begin_action` created for ``name``."""
        found: list[TripRecord] = []
        while (record := self.store.find_trip(_numbered_name(name, len(found) + 1))) is not None:
            found.append(record)
        return found

    def list_lease_actions(self, lease: str, kind: str = "") -> Sequence[TripRecord]:
        """Return the guard's trips on ``lease``, oldest first; only those of ``kind`` if given."""
        head = make_action_name(kind, "") if kind else ""
        return [record for record in self.store.list_trips(lease) if is_action(record, head)]

    def list_open_actions(self, head: str = "") -> Sequence[TripRecord]:
        """Return the guard's open trips whose id begins with ``head``, oldest first."""
        return [record for record in self.store.list_open_trips() if is_action(record, head)]

    def fail_trip(self, trip_id: str, error: GpurentError) -> None:
        """End the trip as failed if nothing was spent, else as unclear; only a failed one may be attempted again."""
        is_free = self.spending.find_spending(trip_id, error) is Spent.NO
        kind = OutcomeKind.FAILED if is_free else OutcomeKind.UNKNOWN
        self.end_trip(trip_id, TripOutcome.from_error(error, kind))


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

    def get_memory(self, lease: str) -> LeaseMemory:
        """Return the memory of ``lease``; call `save_memory` to save changes to it."""
        if lease not in self._memories:
            known = self.store.find_guard_memory(lease)
            self._memories[lease] = _make_lease_memory(known) if known is not None else LeaseMemory()
        return self._memories[lease]

    def save_memory(self, lease: str) -> None:
        memory = _make_guard_memory(self.get_memory(lease))
        if memory != self.store.find_guard_memory(lease):
            self.store.put_guard_memory(lease, memory)

    def find_results_saved_at(self, lease: str) -> datetime | None:
        """Return when the last save of the results began, which is how recent the saved files are; None if never."""
        return self.store.find_results_save_time(lease)

    def record_results_saved(self, lease: str, at: datetime) -> None:
        self.store.put_results_save_time(lease, at)


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

"""What the guard keeps in the Store: its own trips, and what it remembers of each lease."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from attrs import define, field, frozen

from gpurent.domain.trip import TripRecord, TripSpec
from gpurent.errors import GpurentError, Spent
from gpurent.ports.store import NoteStore
from gpurent.workflow.guard.facts import DEFAULT_CONNECT_TIME, ObservedMachine
from gpurent.workflow.runtime.durable_steps import TripTracker

GUARD_SCOPE = "guard"


def format_timestamp(at: datetime) -> str:
    """A time as the names have it."""
    return f"{at:%Y%m%dt%H%M%S}"


def make_action_name(kind: str, subject: str, at: datetime | None = None) -> str:
    """The trip's id: ``kind`` is renew, save, topup, or the reason of an end; ``subject`` a lease or an account."""
    name = f"{GUARD_SCOPE}-{kind}-{subject}"
    return name if at is None else f"{name}-{format_timestamp(at)}"


def parse_action_kind(trip: str) -> str:
    return trip.split("-")[1]


def is_action(record: TripRecord, head: str = "") -> bool:
    """Whether the guard made the trip, under a name that begins with ``head``."""
    return record.kind == GUARD_SCOPE and record.id.startswith(head)


@frozen
class ActionLog(TripTracker):
    """Writes down what the guard does before it does it: as trips of kind ``guard``, found again by their names."""

    def begin_action(self, name: str, spec: TripSpec, lease: str) -> TripRecord:
        """The open trip ``name``; a first one that failed without spending is followed by a second, ``name-2``."""
        tries = self.list_attempts(name)
        if tries and not tries[-1].outcome.startswith("failed"):
            return tries[-1]
        return self.store.begin_trip(_numbered_name(name, len(tries) + 1), GUARD_SCOPE, spec, lease)

    def list_attempts(self, name: str) -> Sequence[TripRecord]:
        """Every trip that `begin` made under ``name``."""
        found: list[TripRecord] = []
        while (record := self.store.find_trip(_numbered_name(name, len(found) + 1))) is not None:
            found.append(record)
        return found

    def list_lease_actions(self, lease: str, kind: str = "") -> Sequence[TripRecord]:
        """The guard's trips on ``lease``, oldest first; those of one kind."""
        head = make_action_name(kind, "") if kind else ""
        return [record for record in self.store.list_trips(lease) if is_action(record, head)]

    def list_open_actions(self, head: str = "") -> Sequence[TripRecord]:
        """What the guard began and did not end, with a name that begins with ``head``; oldest first."""
        return [record for record in self.store.list_open_trips() if is_action(record, head)]

    def fail_trip(self, trip_id: str, error: GpurentError) -> None:
        """End it so. Only what cost nothing may be tried again under another name."""
        how = "failed" if error.spent is Spent.NO else "unclear"
        self.end_trip(trip_id, f"{how}: {error.code}")


def _numbered_name(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


@define
class LeaseMemory:
    """Between two looks. ``warned_at``: the warnings that stand, and since when."""

    machine: ObservedMachine | None = None
    idle_since: datetime | None = None
    warned_at: dict[str, datetime] = field(factory=dict)


@define
class GuardMemories:
    """Kept in the Store, so that a guard that is started each few minutes notices idleness too."""

    store: NoteStore
    _memories: dict[str, LeaseMemory] = field(factory=dict, init=False)

    def get_memory(self, lease: str) -> LeaseMemory:
        """What is remembered; its changes are kept by `save`."""
        if lease not in self._memories:
            noted = self.store.get_note(GUARD_SCOPE, f"memory/{lease}")
            self._memories[lease] = _parse_memory(noted) if noted else LeaseMemory()
        return self._memories[lease]

    def save_memory(self, lease: str) -> None:
        text = _format_memory(self.get_memory(lease))
        if text != self.store.get_note(GUARD_SCOPE, f"memory/{lease}"):
            self.store.put_note(GUARD_SCOPE, f"memory/{lease}", text)

    def find_results_saved_at(self, lease: str) -> datetime | None:
        """Since when the results on this computer are those of then."""
        return _parse_time(self.store.get_note(GUARD_SCOPE, f"saved/{lease}"))

    def record_results_saved(self, lease: str, at: datetime) -> None:
        self.store.put_note(GUARD_SCOPE, f"saved/{lease}", at.isoformat())


def _parse_memory(text: str) -> LeaseMemory:
    raw = json.loads(text)
    machine = None
    if raw["at"]:
        machine = ObservedMachine(
            at=datetime.fromisoformat(raw["at"]),
            duration=DEFAULT_CONNECT_TIME,
            ticks=tuple(raw["ticks"]) if raw["ticks"] else None,
            last_write=raw["wrote"],
            output_at=_parse_time(raw["output_at"]),
        )
    said = {key: datetime.fromisoformat(at) for key, at in raw["said"].items()}
    return LeaseMemory(machine=machine, idle_since=_parse_time(raw["idle_since"]), warned_at=said)


def _format_memory(memory: LeaseMemory) -> str:
    seen = memory.machine
    raw = {
        "at": seen.at if seen else None,
        "ticks": seen.ticks if seen else None,
        "wrote": seen.last_write if seen else None,
        "output_at": seen.output_at if seen else None,
        "idle_since": memory.idle_since,
        "said": memory.warned_at,
    }
    return json.dumps(raw, default=datetime.isoformat)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

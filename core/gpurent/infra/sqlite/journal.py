"""What must survive: trips, their steps, leases, plugins' notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from gpurent.domain.lease import OVER, Lease
from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.database import Database

if TYPE_CHECKING:
    from gpurent.domain.trip import TripSpec

T = TypeVar("T")


@frozen(kw_only=True)
class TripRow:
    """One trip: ``kind`` is run, rent, renew, upgrade or release; ``outcome`` is empty while it is under way."""

    id: str
    kind: str
    want: TripSpec
    lease: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str


@frozen(kw_only=True)
class StepRow:
    """One step: ``done_at`` None means that it was begun and nobody knows how it ended."""

    name: str
    begun_at: datetime
    done_at: datetime | None
    value: str | None


class Journal:
    """Narrow on purpose: begin a step, record it, recall it. Times are the provider's clock's."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self.database = Database(path)

    def close(self) -> None:
        self.database.close()

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).isoformat()

    # trips

    def begin_trip(self, trip: str, kind: str, want: TripSpec, lease: str = "") -> None:
        with self.database.write():
            self.database.execute(
                "INSERT INTO trips (id, kind, want, lease, begun_at) VALUES (?, ?, ?, ?, ?)",
                (trip, kind, dumps(want), lease, self._stamp()),
            )

    def set_trip_want(self, trip: str, want: TripSpec) -> None:
        with self.database.write():
            self.database.execute("UPDATE trips SET want = ? WHERE id = ?", (dumps(want), trip))

    def set_trip_lease(self, trip: str, lease: str) -> None:
        with self.database.write():
            self.database.execute("UPDATE trips SET lease = ? WHERE id = ?", (lease, trip))

    def end_trip(self, trip: str, outcome: str) -> None:
        with self.database.write():
            self.database.execute(
                "UPDATE trips SET ended_at = ?, outcome = ? WHERE id = ?", (self._stamp(), outcome, trip)
            )

    def trips(self, lease: str = "") -> Sequence[TripRow]:
        """All trips, or those of one lease, oldest first."""
        return self._trips("WHERE lease = ?", lease) if lease else self._trips("")

    def trips_under_way(self) -> Sequence[TripRow]:
        """Those without an outcome, oldest first."""
        return self._trips("WHERE outcome = ''")

    def trip(self, trip: str) -> TripRow | None:
        return next(iter(self._trips("WHERE id = ?", trip)), None)

    def _trips(self, which: str, *values: str) -> list[TripRow]:
        from gpurent.domain.trip import TripSpec

        # ``which`` is always one of the texts above.
        rows = self.database.rows(
            "SELECT id, kind, want, lease, begun_at, ended_at, outcome FROM trips "  # noqa: S608
            f"{which} ORDER BY begun_at, rowid",
            *values,
        )
        return [
            TripRow(
                id=row[0],
                kind=row[1],
                want=loads(row[2], TripSpec),
                lease=row[3],
                begun_at=datetime.fromisoformat(row[4]),
                ended_at=datetime.fromisoformat(row[5]) if row[5] else None,
                outcome=row[6],
            )
            for row in rows
        ]

    # steps

    def begin(self, trip: str, step: str) -> None:
        """Write the intent. Begun before and never recorded: the first begin stands."""
        with self.database.write():
            self.database.execute(
                "INSERT OR IGNORE INTO steps (trip, name, begun_at) VALUES (?, ?, ?)",
                (trip, step, self._stamp()),
            )

    def record(self, trip: str, step: str, value: object) -> None:
        """Write what the step gave. A step that was never begun is a `LookupError`: its intent was not on disk."""
        with self.database.write():
            written = self.database.execute(
                "UPDATE steps SET done_at = ?, value = ? WHERE trip = ? AND name = ?",
                (self._stamp(), dumps(value), trip, step),
            )
            if written != 1:
                raise LookupError(f"step {step} of trip {trip} was not begun")

    def recall(self, trip: str, step: str, kind: type[T]) -> T | None:
        """What the step gave, None if it was not recorded."""
        for (value,) in self.database.rows("SELECT value FROM steps WHERE trip = ? AND name = ?", trip, step):
            if value is not None:
                return loads(value, kind)
        return None

    def steps(self, trip: str) -> Sequence[StepRow]:
        rows = self.database.rows(
            "SELECT name, begun_at, done_at, value FROM steps WHERE trip = ? ORDER BY rowid", trip
        )
        return [
            StepRow(
                name=name,
                begun_at=datetime.fromisoformat(begun),
                done_at=datetime.fromisoformat(done) if done else None,
                value=value,
            )
            for name, begun, done, value in rows
        ]

    def recorded(self, trip: str, suffix: str) -> Sequence[tuple[str, str]]:
        """``(step, value)`` of the trip's recorded steps whose name ends with ``suffix``, as JSON, oldest first."""
        return [
            (row.name, row.value)
            for row in self.steps(trip)
            if row.value is not None and row.name.endswith(suffix)
        ]

    # leases

    def keep_lease(self, lease: Lease) -> None:
        with self.database.write():
            self.database.execute(
                "INSERT INTO leases (id, provider, state, value, changed_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, value = excluded.value,"
                " changed_at = excluded.changed_at",
                (lease.id, lease.provider, lease.state.value, dumps(lease), self._stamp()),
            )

    def swap_lease(self, before: Lease, after: Lease) -> bool:
        """Write ``after`` only if the lease still stands as ``before``; somebody else may have moved it meanwhile."""
        with self.database.write():
            rows = self.database.rows("SELECT value FROM leases WHERE id = ?", before.id)
            # Compared as values: an older gpurent wrote fewer fields.
            if not rows or loads(rows[0][0], Lease) != before:
                return False
            self.database.execute(
                "UPDATE leases SET state = ?, value = ?, changed_at = ? WHERE id = ?",
                (after.state.value, dumps(after), self._stamp(), before.id),
            )
            return True

    def lease(self, lease: str) -> Lease | None:
        for (value,) in self.database.rows("SELECT value FROM leases WHERE id = ?", lease):
            return loads(value, Lease)
        return None

    def leases(self) -> Sequence[Lease]:
        """All leases ever, oldest first."""
        return [
            loads(value, Lease) for (value,) in self.database.rows("SELECT value FROM leases ORDER BY rowid")
        ]

    def standing(self) -> Sequence[Lease]:
        """The leases that are not over, oldest first."""
        over = [state.value for state in OVER]
        marks = ", ".join("?" for _state in over)
        rows = self.database.rows(
            f"SELECT value FROM leases WHERE state NOT IN ({marks}) ORDER BY rowid",  # noqa: S608
            *over,
        )
        return [loads(value, Lease) for (value,) in rows]

    # notes

    def note(self, scope: str, name: str) -> str | None:
        for (value,) in self.database.rows(
            "SELECT value FROM notes WHERE scope = ? AND name = ?", scope, name
        ):
            return str(value)
        return None

    def put_note(self, scope: str, name: str, value: str) -> None:
        with self.database.write():
            self.database.execute(
                "INSERT INTO notes (scope, name, value) VALUES (?, ?, ?)"
                " ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
                (scope, name, value),
            )

    def swap_note(self, scope: str, name: str, before: str | None, after: str) -> bool:
        """Write ``after`` only if the note still says ``before`` (None: is not there)."""
        with self.database.write():
            if self.note(scope, name) != before:
                return False
            self.database.execute(
                "INSERT OR REPLACE INTO notes (scope, name, value) VALUES (?, ?, ?)", (scope, name, after)
            )
            return True


@frozen
class ScopedNotes:
    """The notes of one plugin."""

    journal: Journal
    scope: str

    def get(self, name: str) -> str | None:
        return self.journal.note(self.scope, name)

    def put(self, name: str, value: str) -> None:
        self.journal.put_note(self.scope, name, value)

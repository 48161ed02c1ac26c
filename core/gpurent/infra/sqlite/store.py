"""The Store in one SQLite file: trips, steps, leases, notes, questions, and the ledger beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from gpurent.domain.lease import OVER, Lease
from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.database import Database

if TYPE_CHECKING:
    from gpurent.domain.question import Question
    from gpurent.domain.trip import StepRecord, TripRecord, TripSpec
    from gpurent.infra.sqlite.ledger import SqliteLedger

T = TypeVar("T")


class SqliteStore:
    """Implements `gpurent.ports.store.Store`. ``now`` is the provider's clock."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._database = Database(path)

    def close(self) -> None:
        self._database.close()

    @cached_property
    def ledger(self) -> SqliteLedger:
        from gpurent.infra.sqlite.ledger import SqliteLedger

        return SqliteLedger(self._database, self._now)

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).isoformat()

    def _write(self, sql: str, *values: object) -> int:
        with self._database.write():
            return self._database.execute(sql, values)

    # trips

    def begin_trip(self, trip: str, kind: str, spec: TripSpec, lease: str = "") -> TripRecord:
        from gpurent.domain.trip import TripRecord

        begun_at = self._now().astimezone(UTC)
        self._write(
            "INSERT INTO trips (id, kind, spec, lease, begun_at) VALUES (?, ?, ?, ?, ?)",
            trip,
            kind,
            dumps(spec),
            lease,
            begun_at.isoformat(),
        )
        return TripRecord(
            id=trip, kind=kind, spec=spec, lease=lease, begun_at=begun_at, ended_at=None, outcome=""
        )

    def set_trip_spec(self, trip: str, spec: TripSpec) -> None:
        self._write("UPDATE trips SET spec = ? WHERE id = ?", dumps(spec), trip)

    def set_trip_lease(self, trip: str, lease: str) -> None:
        self._write("UPDATE trips SET lease = ? WHERE id = ?", lease, trip)

    def end_trip(self, trip: str, outcome: str) -> None:
        self._write("UPDATE trips SET ended_at = ?, outcome = ? WHERE id = ?", self._stamp(), outcome, trip)

    def trips(self, lease: str = "") -> Sequence[TripRecord]:
        return self._trips("WHERE lease = ?", lease) if lease else self._trips("")

    def open_trips(self) -> Sequence[TripRecord]:
        return self._trips("WHERE outcome = ''")

    def trip(self, trip: str) -> TripRecord | None:
        return next(iter(self._trips("WHERE id = ?", trip)), None)

    def _trips(self, which: str, *values: str) -> list[TripRecord]:
        from gpurent.domain.trip import TripRecord, TripSpec

        # ``which`` is always one of the texts above.
        rows = self._database.rows(
            "SELECT id, kind, spec, lease, begun_at, ended_at, outcome FROM trips "  # noqa: S608
            f"{which} ORDER BY begun_at, rowid",
            *values,
        )
        return [
            TripRecord(
                id=row[0],
                kind=row[1],
                spec=loads(row[2], TripSpec),
                lease=row[3],
                begun_at=datetime.fromisoformat(row[4]),
                ended_at=datetime.fromisoformat(row[5]) if row[5] else None,
                outcome=row[6],
            )
            for row in rows
        ]

    # steps

    def begin_step(self, trip: str, step: str) -> None:
        self._write(
            "INSERT OR IGNORE INTO steps (trip, name, begun_at) VALUES (?, ?, ?)", trip, step, self._stamp()
        )

    def record_step(self, trip: str, step: str, value: object) -> None:
        with self._database.write():
            written = self._database.execute(
                "UPDATE steps SET done_at = ?, value = ? WHERE trip = ? AND name = ?",
                (self._stamp(), dumps(value), trip, step),
            )
            if written != 1:
                raise LookupError(f"step {step} of trip {trip} was not begun")

    def recall_step(self, trip: str, step: str, kind: type[T]) -> T | None:
        rows = self._database.rows("SELECT value FROM steps WHERE trip = ? AND name = ?", trip, step)
        return next((loads(value, kind) for (value,) in rows if value is not None), None)

    def steps(self, trip: str) -> Sequence[StepRecord]:
        from gpurent.domain.trip import StepRecord

        rows = self._database.rows(
            "SELECT name, begun_at, done_at FROM steps WHERE trip = ? ORDER BY rowid", trip
        )
        return [
            StepRecord(
                name=name,
                begun_at=datetime.fromisoformat(begun),
                done_at=datetime.fromisoformat(done) if done else None,
            )
            for name, begun, done in rows
        ]

    def recorded_steps(self, trip: str, suffix: str, kind: type[T]) -> Sequence[tuple[str, T]]:
        rows = self._database.rows(
            "SELECT name, value FROM steps WHERE trip = ? AND value IS NOT NULL ORDER BY rowid", trip
        )
        return [(name, loads(value, kind)) for name, value in rows if name.endswith(suffix)]

    # leases

    def save_lease(self, lease: Lease) -> None:
        self._write(
            "INSERT INTO leases (id, provider, state, value, changed_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state, value = excluded.value,"
            " changed_at = excluded.changed_at",
            lease.id,
            lease.provider,
            lease.state.value,
            dumps(lease),
            self._stamp(),
        )

    def swap_lease(self, before: Lease, after: Lease) -> bool:
        with self._database.write():
            rows = self._database.rows("SELECT value FROM leases WHERE id = ?", before.id)
            # Compared as values: an older gpurent wrote fewer fields.
            if not rows or loads(rows[0][0], Lease) != before:
                return False
            self._database.execute(
                "UPDATE leases SET state = ?, value = ?, changed_at = ? WHERE id = ?",
                (after.state.value, dumps(after), self._stamp(), before.id),
            )
            return True

    def lease(self, lease: str) -> Lease | None:
        return next(iter(self._leases("WHERE id = ?", lease)), None)

    def leases(self) -> Sequence[Lease]:
        return self._leases("")

    def open_leases(self) -> Sequence[Lease]:
        over = [state.value for state in OVER]
        marks = ", ".join("?" for _state in over)
        return self._leases(f"WHERE state NOT IN ({marks})", *over)

    def _leases(self, which: str, *values: str) -> list[Lease]:
        # ``which`` is always one of the texts above.
        rows = self._database.rows(f"SELECT value FROM leases {which} ORDER BY rowid", *values)  # noqa: S608
        return [loads(value, Lease) for (value,) in rows]

    # notes

    def note(self, scope: str, name: str) -> str | None:
        rows = self._database.rows("SELECT value FROM notes WHERE scope = ? AND name = ?", scope, name)
        return next((str(value) for (value,) in rows), None)

    def put_note(self, scope: str, name: str, value: str) -> None:
        self._write("INSERT OR REPLACE INTO notes (scope, name, value) VALUES (?, ?, ?)", scope, name, value)

    def swap_note(self, scope: str, name: str, before: str | None, after: str) -> bool:
        with self._database.write():
            if self.note(scope, name) != before:
                return False
            self._database.execute(
                "INSERT OR REPLACE INTO notes (scope, name, value) VALUES (?, ?, ?)", (scope, name, after)
            )
            return True

    # questions

    def put_question(self, question: Question) -> None:
        self._write(
            "INSERT OR IGNORE INTO questions (id, value, asked_at) VALUES (?, ?, ?)",
            question.id,
            dumps(question),
            self._stamp(),
        )

    def answer(self, question: str) -> str | None:
        rows = self._database.rows("SELECT answer FROM questions WHERE id = ?", question)
        return next((answer for (answer,) in rows if answer is not None), None)

    def put_answer(self, question: str, answer: str) -> None:
        self._write(
            "UPDATE questions SET answer = ?, answered_at = ? WHERE id = ?", answer, self._stamp(), question
        )


@frozen(eq=False)
class ScopedState:
    """The durable facts of one plugin. Implements `gpurent.ports.services.PluginState`."""

    store: SqliteStore
    scope: str

    def get(self, name: str) -> str | None:
        return self.store.note(self.scope, name)

    def put(self, name: str, value: str) -> None:
        self.store.put_note(self.scope, name, value)

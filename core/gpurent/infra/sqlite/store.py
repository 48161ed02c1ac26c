"""The Store in one SQLite file: trips, steps, leases and questions; its other parts are beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gpurent.domain.lease import OVER_STATES, Lease
from gpurent.errors import StorageError
from gpurent.infra.platform.file_locks import FileLocks
from gpurent.infra.sqlite.codec import dumps, loads
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.order_rows import OrderRows
from gpurent.infra.sqlite.payment_rows import PaymentRows
from gpurent.infra.sqlite.plugin_state import PluginStateRows
from gpurent.infra.sqlite.restore_rows import RestoreRows
from gpurent.infra.sqlite.sessions import Sessions
from gpurent.infra.sqlite.volume_rows import VolumeRows
from gpurent.infra.sqlite.watch_rows import WatchRows

if TYPE_CHECKING:
    from gpurent.domain.guard_actions import GuardAction
    from gpurent.domain.locks import LockOwner
    from gpurent.domain.outcomes import TripOutcome
    from gpurent.domain.question import Question
    from gpurent.domain.trip import StepRecord, TripRecord, TripSpec
    from gpurent.infra.sqlite.ledger import SqliteLedger
    from gpurent.infra.sqlite.summaries import SqliteSummaries

T = TypeVar("T")


class SqliteStore(OrderRows, PaymentRows, WatchRows, VolumeRows, PluginStateRows, RestoreRows):
    """Implements `gpurent.ports.store.Store`. ``now`` is the provider's clock."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime],
        command: str = "gpurent",
        *,
        in_memory: Database | None = None,
    ) -> None:
        """Open the Store at ``path``, or use ``in_memory`` if that is given.

        ``command``: what the user typed, without its arguments; whoever waits for a lock of this process is told so.
        """
        shared = in_memory or Database(path)
        self._sessions = Sessions(
            shared,
            lambda: nullcontext(shared) if in_memory is not None else closing(shared.reopen()),
            FileLocks(path.parent / "locks", is_required=in_memory is None),
            command,
        )
        super().__init__(self._sessions, now)

    @classmethod
    def open_in_memory(cls, path: Path, now: Callable[[], datetime], command: str = "gpurent") -> SqliteStore:
        """Return a Store in memory with what can be read of the one at ``path``; nothing of it is ever on disk."""
        try:
            made = cls(path, now, command, in_memory=Database(path, in_memory=True))
            made._query_leases("")
        except StorageError:
            empty = Database(path.with_name("nothing"), in_memory=True)
            return cls(path, now, command, in_memory=empty)
        return made

    def close(self) -> None:
        self._sessions.close()

    @cached_property
    def ledger(self) -> SqliteLedger:
        from gpurent.infra.sqlite.ledger import SqliteLedger

        return SqliteLedger(self._database, self._now)

    @cached_property
    def summaries(self) -> SqliteSummaries:
        from gpurent.infra.sqlite.summaries import SqliteSummaries

        return SqliteSummaries(self._database)

    async def write_snapshot(self, path: Path) -> None:
        """Implements `gpurent.ports.backup_store.SnapshotStore`."""
        self._sessions.write_snapshot(path)

    # locks

    def hold_lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._sessions.hold_lock(name, self._format_now)

    async def require_locks(self) -> None:
        self._sessions.require_in_place()
        self._sessions.require_locks()

    async def find_lock_owner(self, name: str) -> LockOwner | None:
        return self._sessions.find_lock_owner(name)

    async def find_last_holder(self, name: str) -> LockOwner | None:
        return self._sessions.find_last_holder(name)

    # trips

    async def begin_trip(
        self, trip_id: str, kind: str, spec: TripSpec, lease_id: str = "", action: GuardAction | None = None
    ) -> TripRecord:
        from gpurent.domain.trip import TripRecord

        started_at = self._now().astimezone(UTC)
        self._execute(
            "INSERT INTO trip_records (id, kind, spec, lease, started_at, action) VALUES (?, ?, ?, ?, ?, ?)",
            trip_id,
            kind,
            dumps(spec),
            lease_id,
            started_at.isoformat(),
            dumps(action) if action is not None else None,
        )
        return TripRecord(
            id=trip_id, kind=kind, spec=spec, lease=lease_id, started_at=started_at, action=action
        )

    async def set_trip_spec(self, trip_id: str, spec: TripSpec) -> None:
        self._execute("UPDATE trip_records SET spec = ? WHERE id = ?", dumps(spec), trip_id)

    async def set_trip_lease(self, trip_id: str, lease_id: str) -> None:
        self._execute("UPDATE trip_records SET lease = ? WHERE id = ?", lease_id, trip_id)

    async def end_trip(self, trip_id: str, outcome: TripOutcome) -> None:
        self._execute(
            "UPDATE trip_records SET ended_at = ?, outcome_kind = ?, outcome_reason = ? WHERE id = ?",
            self._format_now(),
            outcome.kind.value,
            outcome.reason,
            trip_id,
        )

    async def list_trips(self, lease_id: str = "") -> Sequence[TripRecord]:
        return self._query_trips("WHERE lease = ?", lease_id) if lease_id else self._query_trips("")

    async def list_open_trips(self) -> Sequence[TripRecord]:
        return self._query_trips("WHERE outcome_kind IS NULL")

    async def find_trip(self, trip_id: str) -> TripRecord | None:
        return next(iter(self._query_trips("WHERE id = ?", trip_id)), None)

    def _query_trips(self, which: str, *values: str) -> list[TripRecord]:
        # ``which`` is always one of the constants above.
        rows = self._database.fetch_rows(
            "SELECT id, kind, spec, lease, started_at, ended_at, outcome_kind, outcome_reason, action"  # noqa: S608
            f" FROM trip_records {which} ORDER BY started_at, rowid",
            *values,
        )
        if not rows:  # `gpurent ls` then starts without the modules of trips
            return []
        from gpurent.domain.guard_actions import GuardAction
        from gpurent.domain.outcomes import OutcomeKind, TripOutcome
        from gpurent.domain.trip import TripRecord, TripSpec

        return [
            TripRecord(
                id=row[0],
                kind=row[1],
                spec=loads(row[2], TripSpec),
                lease=row[3],
                started_at=datetime.fromisoformat(row[4]),
                ended_at=datetime.fromisoformat(row[5]) if row[5] else None,
                outcome=TripOutcome(OutcomeKind(row[6]), row[7]) if row[6] else None,
                action=loads(row[8], GuardAction) if row[8] else None,
            )
            for row in rows
        ]

    # steps

    async def begin_step(self, trip_id: str, step: str) -> None:
        self._execute(
            "INSERT OR IGNORE INTO steps (trip, name, started_at) VALUES (?, ?, ?)",
            trip_id,
            step,
            self._format_now(),
        )

    async def record_step(self, trip_id: str, step: str, value: object) -> None:
        with self._database.write_transaction():
            written = self._database.execute(
                "UPDATE steps SET done_at = ?, value = ? WHERE trip = ? AND name = ?",
                (self._format_now(), dumps(value), trip_id, step),
            )
            if written != 1:
                raise LookupError(f"step {step} of trip {trip_id} was not begun")

    async def find_step_value(self, trip_id: str, step: str, kind: type[T]) -> T | None:
        rows = self._database.fetch_rows("SELECT value FROM steps WHERE trip = ? AND name = ?", trip_id, step)
        return next((loads(value, kind) for (value,) in rows if value is not None), None)

    async def list_steps(self, trip_id: str) -> Sequence[StepRecord]:
        from gpurent.domain.trip import StepRecord

        rows = self._database.fetch_rows(
            "SELECT name, started_at, done_at FROM steps WHERE trip = ? ORDER BY rowid", trip_id
        )
        return [
            StepRecord(
                name=name,
                started_at=datetime.fromisoformat(begun),
                done_at=datetime.fromisoformat(done) if done else None,
            )
            for name, begun, done in rows
        ]

    async def discard_steps(self, trip_id: str, names: Iterable[str]) -> None:
        with self._database.write_transaction():
            self._database.execute_many(
                "DELETE FROM steps WHERE trip = ? AND name = ?", [(trip_id, name) for name in names]
            )

    async def list_recorded_steps(self, trip_id: str, suffix: str, kind: type[T]) -> Sequence[tuple[str, T]]:
        rows = self._database.fetch_rows(
            "SELECT name, value FROM steps WHERE trip = ? AND value IS NOT NULL ORDER BY rowid", trip_id
        )
        return [(name, loads(value, kind)) for name, value in rows if name.endswith(suffix)]

    # leases

    async def save_lease(self, lease: Lease) -> None:
        with self._database.write_transaction():
            self._database.execute(
                "INSERT INTO lease_records (id, provider, state, value, changed_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, value = excluded.value,"
                " changed_at = excluded.changed_at",
                (lease.id, lease.provider, lease.state.value, dumps(lease), self._format_now()),
            )
            self._end_order_of(lease)

    async def swap_lease(self, before: Lease, after: Lease) -> bool:
        with self._database.write_transaction():
            rows = self._database.fetch_rows("SELECT value FROM lease_records WHERE id = ?", before.id)
            # Compare values, not text: an older gpurent wrote fewer fields.
            if not rows or loads(rows[0][0], Lease) != before:
                return False
            self._database.execute(
                "UPDATE lease_records SET state = ?, value = ?, changed_at = ? WHERE id = ?",
                (after.state.value, dumps(after), self._format_now(), before.id),
            )
            self._end_order_of(after)
            return True

    async def find_lease(self, lease_id: str) -> Lease | None:
        return next(iter(self._query_leases("WHERE id = ?", lease_id)), None)

    async def list_leases(self) -> Sequence[Lease]:
        return self._query_leases("")

    async def list_open_leases(self) -> Sequence[Lease]:
        over = [state.value for state in OVER_STATES]
        marks = ", ".join("?" for _state in over)
        return self._query_leases(f"WHERE state NOT IN ({marks})", *over)

    def _query_leases(self, which: str, *values: str) -> list[Lease]:
        # ``which`` is always one of the constants above.
        rows = self._database.fetch_rows(f"SELECT value FROM lease_records {which} ORDER BY rowid", *values)  # noqa: S608
        return [loads(value, Lease) for (value,) in rows]

    # questions

    async def put_question(self, question: Question) -> None:
        self._execute(
            "INSERT OR IGNORE INTO questions (id, value, asked_at) VALUES (?, ?, ?)",
            question.id,
            dumps(question),
            self._format_now(),
        )

    async def list_open_questions(self, trip_id: str) -> Sequence[Question]:
        from gpurent.domain.question import Question

        rows = self._database.fetch_rows(
            "SELECT value FROM questions WHERE answer IS NULL AND json_extract(value, '$.trip') = ?"
            " ORDER BY asked_at, rowid",
            trip_id,
        )
        return [loads(value, Question) for (value,) in rows]

    async def find_answer(self, question_id: str) -> str | None:
        rows = self._database.fetch_rows("SELECT answer FROM questions WHERE id = ?", question_id)
        return next((answer for (answer,) in rows if answer is not None), None)

    async def put_answer(self, question_id: str, answer: str) -> None:
        self._execute(
            "UPDATE questions SET answer = ?, answered_at = ? WHERE id = ?",
            answer,
            self._format_now(),
            question_id,
        )

"""The guard's own trips in the journal: every deed has a name made of what it is for, so that it is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, Spent
from gpurent.workflow.guard.observe import SCOPE
from gpurent.workflow.runtime.desk import Desk

if TYPE_CHECKING:
    from gpurent.infra.sqlite.journal import TripRow

STAMP = "%Y%m%dt%H%M%S"


def begin(desk: Desk, name: str, want: TripSpec, lease: str) -> TripRow:
    """The open trip ``name``; a first one that failed without spending is followed by a second, ``name-2``."""
    number = 1
    while True:
        trip = _numbered(name, number)
        row = desk.journal.trip(trip)
        if row is None:
            desk.journal.begin_trip(trip, SCOPE, want, lease)
            row = desk.journal.trip(trip)
            assert row is not None  # noqa: S101 - just written
        if not row.outcome.startswith("failed"):
            return row
        number += 1


def tries(desk: Desk, name: str) -> list[TripRow]:
    """Every trip that `begin` made under ``name``."""
    rows: list[TripRow] = []
    while (row := desk.journal.trip(_numbered(name, len(rows) + 1))) is not None:
        rows.append(row)
    return rows


def unfinished(desk: Desk, lease: str) -> list[TripRow]:
    """What an earlier guard began on ``lease`` and did not end."""
    return [row for row in desk.journal.trips(lease) if row.kind == SCOPE and not row.outcome]


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def failed(error: GpurentError) -> str:
    """The outcome. Only what cost nothing may be tried again under another name."""
    return f"failed: {error.code}" if error.spent is Spent.NO else f"unclear: {error.code}"

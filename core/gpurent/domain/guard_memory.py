"""What the guard remembers about a lease between two checks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen


@frozen(kw_only=True)
class GuardMemory:
    """The last observation at ``observed_at``, if there was one, with the active warnings and since when.

    Measured by the machine's clocks: ``ticks`` (busy, total) of its CPUs, and ``last_write``, the same moment as
    ``output_at``, when a session last wrote output.
    """

    observed_at: datetime | None = None
    ticks: tuple[int, int] | None = None
    last_write: int | None = None
    output_at: datetime | None = None
    idle_since: datetime | None = None
    warned_at: Mapping[str, datetime] = field(factory=dict)

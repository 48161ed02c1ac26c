"""What jobs wrote, kept on this computer beyond the end of their machines."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

# Of a longer log, the beginning is kept.
MAX_KEPT_BYTES = 64 << 20


class KeptLogs(Protocol):
    """The log of each trip's job, by the trip's id. A failure to write is no error: nothing else depends on it."""

    def write(self, trip_id: str, offset: int, data: bytes) -> None:
        """Write ``data`` at byte ``offset``; several processes may do so at once, with the same bytes at each place."""

    def get_size(self, trip_id: str) -> int:
        """Return how many bytes are kept; 0 if there is none."""

    def find_path(self, trip_id: str) -> Path | None:
        """Return the file; None if nothing is kept."""

    def read(self, trip_id: str, lines: int | None = None) -> bytes:
        """Return what is kept, or only its last ``lines``; empty if nothing is."""

"""Durable notes of the states of local files that were transferred."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class StateRecords(Protocol):
    """The states (see `gpurent.domain.local_files`) that one machine's transfers may replace. Threads share it.

    These are the states that were sent to the machine or came from it, and those that came from any machine before the
    first transfer with this one.
    """

    def __contains__(self, state: bytes) -> bool: ...

    def add(self, states: Iterable[bytes], *, came: bool) -> None:
        """Add states that were sent, or that ``came`` from the machine.

        What cannot be written is known to this object alone; a later download then keeps the local file.
        """

    def close(self) -> None: ...


class TransferredFiles(Protocol):
    def open_records(self, names: Sequence[str], also: Sequence[str] = ()) -> StateRecords:
        """Open the records that have any of ``names``. What is added is also noted in those named in ``also``."""

"""Small records outside the Store and the vault, which show that one of them was replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class OutsideRecords(Protocol):
    """Values of JSON by name, each in several places, so that one may be lost or restored from a backup."""

    def list_values(self, name: str) -> Sequence[Any]:
        """Return the value from each place that has one; they differ if a place was restored or not written."""

    def update(self, name: str, change: Callable[[Sequence[Any]], Any]) -> None:
        """Replace the values by ``change(values)`` wherever that can be written; no other process writes meanwhile."""

"""What a part of a migration needs of the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class SqlAccess(Protocol):
    """Reads rows, and writes them inside the transaction that its owner has begun."""

    def fetch_rows(self, sql: str, *values: object) -> list[Any]: ...
    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None: ...

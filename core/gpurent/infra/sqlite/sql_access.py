"""What migrations, and the parts of the Store, need of the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class SqlAccess(Protocol):
    """Reads rows, and writes them inside the transaction that its owner has begun."""

    def fetch_rows(self, sql: str, *values: object) -> list[Any]: ...
    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None: ...


class TableAccess(SqlAccess, Protocol):
    """Begins transactions too."""

    def write_transaction(self) -> AbstractContextManager[None]:
        """Run the block in one transaction; an error rolls it back. Nothing in the block may await."""

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Execute a statement inside `write_transaction`; return the number of changed rows."""

"""Schema 5: a row for each lock says who took it last. Its token grows by one each time, and is never used again."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

from gpurent.infra.platform.system import get_computer_name
from gpurent.infra.sqlite.sql_access import TableAccess

if TYPE_CHECKING:
    from gpurent.domain.locks import LockOwner

ADD_LOCKS = """
CREATE TABLE locks (
    name TEXT PRIMARY KEY, token INTEGER NOT NULL, process INTEGER NOT NULL, host TEXT NOT NULL,
    command TEXT NOT NULL, taken_at TEXT NOT NULL
) STRICT;
"""


def record_owner(database: TableAccess, name: str, command: str, taken_at: str) -> int:
    """Record, inside a transaction, that this process has taken the lock; return its token."""
    database.execute(
        "INSERT INTO locks VALUES (?, 1, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET token = token + 1,"
        " process = excluded.process, host = excluded.host, command = excluded.command, taken_at = excluded.taken_at",
        (name, os.getpid(), get_computer_name(), command, taken_at),
    )
    return find_token(database, name)


def find_token(database: TableAccess, name: str) -> int:
    """Return the lock's token; 0 if it was never taken."""
    return next((int(token) for (token,) in database.fetch_rows(_TOKEN, name)), 0)


_TOKEN = "SELECT token FROM locks WHERE name = ?"  # noqa: S105 - not a password


def find_owner(database: TableAccess, name: str) -> LockOwner:
    """Return who took the lock last, as far as that was recorded."""
    from gpurent.domain.locks import LockOwner

    rows = database.fetch_rows("SELECT process, host, command, taken_at FROM locks WHERE name = ?", name)
    for process, host, command, taken_at in rows:
        return LockOwner(process=process, host=host, command=command, since=datetime.fromisoformat(taken_at))
    return LockOwner()

"""Schema 5: keeps a gpurent that is still running from before the migration away from the migrated journal.

It checked the schema when it opened the file, and does not look again. Its statements would read values in a form that
it does not know, and write them in a form that is no longer known. So each of them fails: the old names of the
tables that every command reads are views, and every write runs a trigger, that call a function which only a newer
gpurent has. What SQLite reports is then "no such function: this_journal_needs_a_newer_gpurent".
"""

from __future__ import annotations

import sqlite3
from typing import NoReturn

_NAME = "this_journal_needs_a_newer_gpurent"
# The columns that any older version selects.
_OLD_COLUMNS = {
    "trips": ("id", "kind", "want", "spec", "lease", "begun_at", "started_at", "ended_at", "outcome"),
    "leases": ("id", "provider", "state", "value", "changed_at"),
    "notes": ("scope", "name", "value"),
}
_ALL_WRITES = ("INSERT", "UPDATE", "DELETE")
# To the ledger, anybody can only add, and adds the postings first.
_WRITES = {
    "trip_records": _ALL_WRITES,
    "steps": _ALL_WRITES,
    "lease_records": _ALL_WRITES,
    "questions": _ALL_WRITES,
    "postings": ("INSERT",),
}


def _make_view(name: str, columns: tuple[str, ...]) -> str:
    calls = ", ".join(f"{_NAME}('{name}')" for _column in columns)
    return f"CREATE VIEW {name} ({', '.join(columns)}) AS SELECT {calls};\n"


def _make_triggers(table: str, verbs: tuple[str, ...]) -> str:
    return "".join(
        f"CREATE TRIGGER {table}_{verb.lower()}_by_newer BEFORE {verb} ON {table} BEGIN SELECT {_NAME}(); END;\n"
        for verb in verbs
    )


SHUT_OUT_OLDER_PROGRAMS = (
    "ALTER TABLE trips RENAME TO trip_records;\nALTER TABLE leases RENAME TO lease_records;\n"
    + "".join(_make_view(name, columns) for name, columns in _OLD_COLUMNS.items())
    + "".join(_make_triggers(table, verbs) for table, verbs in _WRITES.items())
)


def register_as_newer(connection: sqlite3.Connection) -> None:
    """Let ``connection`` write to a journal of schema 5."""
    # Some builds of SQLite let no trigger call a function unless this is set.
    connection.execute("PRAGMA trusted_schema=ON")
    connection.create_function(_NAME, 0, lambda: None)
    connection.create_function(_NAME, 1, _refuse_old_name)


def _refuse_old_name(table: str) -> NoReturn:
    raise LookupError(f"{table} is the name of a table in older schemas")

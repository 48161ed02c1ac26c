"""A SQLite file with a rollback journal and synchronous writes; schema upgrades keep a backup."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from gpurent.errors import StorageError, UsageError
from gpurent.infra.platform.system import create_private_file, make_private, replace_path, sync_folder
from gpurent.infra.sqlite.database_errors import (
    converted_errors,
    make_damaged_file_error,
    make_moved_error,
)
from gpurent.infra.sqlite.older_programs import register_as_newer
from gpurent.infra.sqlite.schema import MIGRATIONS, SCHEMA_VERSION, SQL_FUNCTIONS, MigrationPart
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

CACHE_KIB = 256


class Database:
    """A connection of one process, shared by its threads under a lock.

    Raises `UsageError`, and changes nothing, if the file was written by a newer gpurent; `StorageError` for whatever
    keeps it from being read or written.
    """

    def __init__(self, path: Path, *, in_memory: bool = False) -> None:
        """Open the file at ``path``; with ``in_memory``, a copy of as much of it as can be read."""
        self._path = path
        self._is_in_memory = in_memory
        self._lock = threading.RLock()
        with converted_errors(path):
            self._db = _copy_into_memory(path) if in_memory else _connect(path)
            try:
                register_as_newer(self._db)
                self._check_version()
                self._db.execute("PRAGMA journal_mode=DELETE")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA fullfsync=ON")  # macOS: as far as the disk itself
                self._db.execute("PRAGMA foreign_keys=ON")
                # The guard lives for weeks with several connections: each would keep 2 MB of pages.
                self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
                self._migrate()
            except BaseException:
                self._db.close()
                raise
        self._file = None if in_memory else _identify_file(path)

    def reopen(self) -> Database:
        """Return another connection to the same file; raises `StorageError` if its path has another one now, or none.

        Two files of one path would share SQLite's rollback journal beside it, which damages the newer one.
        """
        self.require_in_place()
        made = Database(self._path)
        if made._file != self._file:
            made.close()
            raise make_moved_error(self._path)
        return made

    def close(self) -> None:
        self._db.close()

    def write_snapshot(self, path: Path) -> None:
        """Write everything, as it is at one moment, into the new private file ``path``; on disk when this returns."""
        with self._lock, converted_errors(path):
            create_private_file(path)
            with closing(sqlite3.connect(path)) as copy:
                self._db.backup(copy)

    def require_sound(self) -> None:
        """Raise `StorageError` if the file is damaged, as far as SQLite can tell from all of its pages."""
        if self.fetch_rows("PRAGMA quick_check(1)") != [("ok",)]:
            raise make_damaged_file_error(self._path)

    def require_in_place(self) -> None:
        """Raise `StorageError` if the file at its path is another one than was opened, or none."""
        if self._file is not None and _identify_file(self._path) != self._file:
            raise make_moved_error(self._path)

    def _check_version(self) -> int:
        """Return the file's schema version; raises `UsageError` if it is too new, before anything is changed."""
        version = _read_version(self._db)
        if version > SCHEMA_VERSION:
            raise UsageError(
                _(
                    "{path} was written by a newer gpurent (schema {version}, this one supports up to "
                    "{known})"
                ).format(path=self._path, version=version, known=SCHEMA_VERSION),
                hint=_("Nothing was changed. Upgrade gpurent."),
            )
        return version

    def _migrate(self) -> None:
        """Run all missing migrations in one transaction; if killed at any point, the file is unchanged."""
        found = self._check_version()
        if found == SCHEMA_VERSION:
            return
        if found and not self._is_in_memory:
            import logging  # no listing needs it

            backup = self._back_up(found)
            logging.getLogger(__name__).info("schema %d was backed up as %s", found, backup)
        for function in SQL_FUNCTIONS:
            self._db.create_function(function.__name__, 1, function, deterministic=True)
        with self.write_transaction():
            for number in range(self._check_version(), SCHEMA_VERSION):
                for part in MIGRATIONS[number]:
                    self._run_migration_part(part)
            self.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._remove_unfinished_backups()

    def _run_migration_part(self, part: MigrationPart) -> None:
        if not isinstance(part, str):
            part(self)
            return
        for statement in split_statements(part):
            self.execute(statement)

    def _back_up(self, version: int) -> Path:
        """Back up the file next to it, named after its schema; the name exists only once the copy is complete."""
        target = self._path.with_name(f"{self._path.name}.schema{version}")
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        for stale in (part, part.with_name(f"{part.name}-journal")):
            stale.unlink(missing_ok=True)
        create_private_file(part)
        with closing(sqlite3.connect(part)) as copy:
            self._db.backup(copy)
            same = _read_version(copy) == version
        # Another process may have migrated the file meanwhile; it made the backup, and removed this one.
        if same:
            with suppress(FileNotFoundError):
                replace_path(part, target)
            sync_folder(target.parent)
        else:
            part.unlink(missing_ok=True)
        return target

    def _remove_unfinished_backups(self) -> None:
        """Remove what processes that were killed left of their backups, once the file is migrated."""
        for part in self._path.parent.glob(f"{self._path.name}.schema*.part*"):
            with suppress(OSError):
                part.unlink()

    @contextmanager
    def write_transaction(self) -> Iterator[None]:
        """Run the block in one transaction; an error rolls it back."""
        with self._lock, converted_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite itself rolls back after some errors, such as a full disk.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Execute a statement inside `write_transaction`; return the number of changed rows."""
        return self._db.execute(sql, values).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each row, inside `write_transaction`."""
        self._db.executemany(sql, rows)

    def fetch_rows(self, sql: str, *values: object) -> list[Any]:
        with self._lock, converted_errors(self._path):
            return self._db.execute(sql, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            create_private_file(path)
        else:
            make_private(path)
    except OSError as error:
        text = _("{path}: {why}").format(path=path, why=describe_error(error))
        raise StorageError(
            text, hint=_("Make gpurent's data folder writable again, then try again.")
        ) from error
    return sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)


def _identify_file(path: Path) -> tuple[int, int]:
    """Return what tells the file at ``path`` from every other one; zeros if there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _copy_into_memory(path: Path) -> sqlite3.Connection:
    """Return a database in memory with the content of ``path``; empty if that cannot be read at all."""
    # "immutable" also reads a file beside which nothing can be written, such as after a write that was cut short.
    for mode in ("mode=ro", "immutable=1"):
        made = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as source:
                source.backup(made)
            return made
        except sqlite3.Error:
            made.close()
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _read_version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of ``script``; a semicolon inside a trigger does not end one."""
    text = ""
    for part in script.split(";")[:-1]:
        text += f"{part};"
        if sqlite3.complete_statement(text):
            yield text.strip()
            text = ""


_ID_QUERIES = {
    "leases": "SELECT id FROM lease_records ORDER BY changed_at DESC LIMIT ?",
    "trips": "SELECT id FROM trip_records ORDER BY started_at DESC LIMIT ?",
    "accounts": "SELECT name FROM plugin_state WHERE plugin = '@' ORDER BY name LIMIT ?",
}


def list_ids(path: Path, table: str, *, limit: int = -1) -> list[str]:
    """Return the IDs of the "leases" as last changed, or of the "trips" as last begun, newest first; -1: all.

    Of the "accounts", the names by name.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return [str(row[0]) for row in database.execute(_ID_QUERIES[table], (limit,))]
    except sqlite3.Error:
        return []

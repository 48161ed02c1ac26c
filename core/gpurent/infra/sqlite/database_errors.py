"""Errors of SQLite as errors that a user can act on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from gpurent.errors import StorageError
from gpurent.locale import N_, _
from gpurent.locale.foreign_text import quote_text

_REASONS = {
    sqlite3.SQLITE_FULL: N_("no space left on the disk"),
    sqlite3.SQLITE_READONLY: N_("the file system is read-only"),
    sqlite3.SQLITE_CANTOPEN: N_("it cannot be opened"),
    sqlite3.SQLITE_BUSY: N_("another program is using it"),
    sqlite3.SQLITE_LOCKED: N_("another program is using it"),
    sqlite3.SQLITE_IOERR: N_("input/output error"),
    sqlite3.SQLITE_CORRUPT: N_("it is damaged"),
    sqlite3.SQLITE_NOTADB: N_("it is damaged"),
    sqlite3.SQLITE_PERM: N_("permission denied"),
}
# SQLite's word for it is "read-only".
_MOVED = sqlite3.SQLITE_READONLY_DBMOVED
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def converted_errors(path: object) -> Iterator[None]:
    """Raise `StorageError` for what SQLite reports about the database at ``path``."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Of its subclasses, only this one is the computer's fault; the others are mistakes in the statement.
        if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
            raise
        raise make_storage_error(path, error) from error


def make_storage_error(path: object, error: sqlite3.DatabaseError) -> StorageError:
    extended = getattr(error, "sqlite_errorcode", 0)
    if extended == _MOVED:
        return make_moved_error(path)
    code = extended & 0xFF
    why = _(_REASONS[code]) if code in _REASONS else quote_text(str(error))
    text = _("gpurent's journal {path} cannot be used: {why}").format(path=path, why=why)
    return StorageError(text, hint=suggest_restore() if code in _DAMAGE else _suggest_repair(code))


def make_damaged_file_error(path: object) -> StorageError:
    text = _("gpurent's journal {path} cannot be used: {why}").format(path=path, why=_("it is damaged"))
    return StorageError(text, hint=suggest_restore())


def make_moved_error(path: object) -> StorageError:
    return StorageError(
        _("gpurent's journal {path} was moved or deleted while it was in use").format(path=path),
        hint=_(
            "Move it back, or restore it from a backup. Without it, find what costs money: gpurent orphans"
        ),
        is_gone=True,
    )


def suggest_restore() -> str:
    return _(
        "Restore it from a backup. Don't just move it away: the machines that cost money would be forgotten."
    )


def _suggest_repair(code: int) -> str:
    if code == sqlite3.SQLITE_FULL:
        return _("Free some disk space, then try again.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _("Wait for the other program, or end it; then try again.")
    return _("Is gpurent's data folder writable, and can more files be opened (ulimit -n)? Then try again.")


def make_damage_error(error: Exception) -> StorageError:
    """Return the error for a stored value that cannot be read."""
    text = _("gpurent's journal contains a value that cannot be read ({kind})")
    return StorageError(text.format(kind=type(error).__name__), hint=suggest_restore())

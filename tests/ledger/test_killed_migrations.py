"""A migration killed at any SQL statement, or at the rename of its backup: the next start finds everything, once."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gpurent.infra.sqlite.schema import SCHEMA_VERSION
from tests.ledger.older_journals import OLDER_JOURNALS, open_store

SHARE = 8
"""How many points of each migration every run tries."""


class KillingConnection(sqlite3.Connection):
    """Counts statements and renames; kills its process before or after number ``kill_point``.

    A backup counts as one statement, and the process can be killed in the middle of it.
    """

    kill_point = 0
    kills_after = False
    count = 0

    @classmethod
    def pass_point(cls, call: Callable[[], Any]) -> Any:
        cls.count += 1
        cls.kill_if(not cls.kills_after)
        result = call()
        cls.kill_if(cls.kills_after)
        return result

    @classmethod
    def kill_if(cls, now: bool) -> None:
        if now and cls.count == cls.kill_point:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, *given: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.pass_point(lambda: super(KillingConnection, self).execute(*given))
        return cursor

    def executemany(self, *given: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.pass_point(lambda: super(KillingConnection, self).executemany(*given))
        return cursor

    def backup(self, target: sqlite3.Connection, **_given: Any) -> None:
        def copy() -> None:
            super(KillingConnection, self).backup(
                target, pages=1, progress=lambda *_left: self.kill_if(self.kills_after)
            )

        self.pass_point(copy)


def migrate_in_child(path: Path, point: int, *, late: bool = False) -> int:
    """Open the file in a process that is killed at this point; return how many it passed, or 0 if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            KillingConnection.kill_point, KillingConnection.kills_after = point, late
            sqlite3.connect = partial(sqlite3.connect, factory=KillingConnection)  # type: ignore[assignment]
            rename = os.replace
            os.replace = lambda *given: KillingConnection.pass_point(partial(rename, *given))
            open_store(path).close()
            os.write(writer, str(KillingConnection.count).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as answer:
        count = int(answer.read() or "0")
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return count


def dump(path: Path) -> list[str]:
    """Return all tables and rows of the file after checking its integrity."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return [f"schema {db.execute('PRAGMA user_version').fetchone()[0]}", *db.iterdump()]


class OldFolder:
    """A data folder with the journal of an older version, and what is to become of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.pristine = folder / "pristine.sqlite"
        OLDER_JOURNALS[name](self.pristine)
        self.before = dump(self.pristine)
        whole = self._copy("whole")
        self.points = migrate_in_child(whole, 0)
        self.after = dump(whole)

    def _copy(self, name: str) -> Path:
        path = self.folder / name / "journal.sqlite"
        path.parent.mkdir(mode=0o700)
        shutil.copyfile(self.pristine, path)
        return path

    def kill(self, point: int, *, late: bool) -> None:
        """Kill a migration at a point; the next start must find everything, once, and leave nothing else behind."""
        path = self._copy(f"{point}{late}")
        backup = path.with_name(f"journal.sqlite.{self.name}")
        assert migrate_in_child(path, point, late=late) == 0, "it was killed"
        assert dump(path) in (self.before, self.after), "all of the migration, or nothing"
        open_store(path).close()
        assert dump(path) == self.after
        assert dump(backup) == self.before
        assert sorted(found.name for found in path.parent.iterdir()) == [path.name, backup.name]
        shutil.rmtree(path.parent)


@pytest.fixture(params=OLDER_JOURNALS)
def old(tmp_path: Path, request: pytest.FixtureRequest) -> OldFolder:
    return OldFolder(tmp_path, request.param)


@pytest.mark.parametrize(
    "late", [pytest.param(False, marks=pytest.mark.nightly), True], ids=["before", "after"]
)
def test_killed_at_some_statements_and_at_the_rename(old: OldFolder, late: bool) -> None:
    assert old.after[0] == f"schema {SCHEMA_VERSION}"
    step = old.points // SHARE
    for point in range(1 + SCHEMA_VERSION % step, old.points, step):
        old.kill(point, late=late)


@pytest.mark.nightly
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_killed_at_every_statement(old: OldFolder, late: bool) -> None:
    assert old.points > (40 if old.name < "schema5" else 10), "every statement of the migration is a point"
    for point in range(1, old.points + 1):
        old.kill(point, late=late)

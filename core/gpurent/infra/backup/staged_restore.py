"""Puts a restored data folder in place of another one, file by file, so that a kill at any moment loses neither.

What is restored is first complete in the folder `STAGING`. With the file `COMMIT` in it, the restore is decided: this
process, or else the next gpurent that starts, moves the old files aside and the new ones in, and any of that may be
done again. Without the file nothing has happened, and the next gpurent deletes the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gpurent.errors import BusyError, GpurentError
from gpurent.infra.platform.file_locks import FileLocks, hold_file_lock
from gpurent.infra.platform.system import (
    make_private_folder,
    make_storage_error,
    read_private_file,
    sync_folder,
    write_private_file,
)
from gpurent.locale import _

STAGING = "restoring"
NEW, OUTER, COMMIT = "new", "outer", "commit.json"
_LOCK = "restore"
# The journal's own rollback file must not meet the new journal, so it goes right after the old one.
_REPLACED = (
    *("journal.sqlite", "journal.sqlite-journal"),
    *("config.toml", "vault", "ssh", "trips", "living-leases.json", "outside-records.json"),
)


def finish_restore(home: Path) -> None:
    """Complete a restore that was decided and interrupted, or delete what is left of one that was not."""
    staging = home / STAGING
    if not staging.exists():
        return
    with _hold_lock(home, wait=(staging / COMMIT).exists()) as is_held:
        if not is_held:
            return  # another process is preparing one
        if (staging / COMMIT).exists():
            _move_into_place(home)
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def stage_restore(home: Path) -> Iterator[Path]:
    """Yield the empty private folder for the new files; it is gone afterwards, unless the restore was decided.

    Raises `BusyError` if another process restores a backup here.
    """
    make_private_folder(home)
    finish_restore(home)
    with _hold_lock(home, wait=False) as is_held:
        if not is_held:
            raise BusyError(
                _("another process is restoring a backup here"), hint=_("Wait for that process, or end it.")
            )
        staging = home / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        try:
            yield make_private_folder(make_private_folder(staging) / NEW)
        finally:
            if not (staging / COMMIT).exists():
                shutil.rmtree(staging, ignore_errors=True)


def commit_restore(home: Path, kept_name: str, outer_files: Mapping[Path, bytes]) -> None:
    """Decide the restore that is staged, and carry it out; the old files are kept in the folder ``kept_name``.

    ``outer_files``: what is written outside of the data folder too, where that is possible.
    """
    staging = home / STAGING
    outer = make_private_folder(staging / OUTER)
    names = {}
    for number, (path, data) in enumerate(outer_files.items()):
        names[str(number)] = str(path)
        write_private_file(outer / str(number), data)
    for folder in [folder for folder, _subfolders, _files in os.walk(staging)]:
        sync_folder(Path(folder))
    decision = json.dumps({"kept": kept_name, "outer": names}).encode()
    try:
        write_private_file(staging / COMMIT, decision)
        _move_into_place(home)
    except OSError as error:
        raise make_storage_error(home, error) from error
    shutil.rmtree(staging, ignore_errors=True)


def _move_into_place(home: Path) -> None:
    staging = home / STAGING
    decision: Any = json.loads(read_private_file(staging / COMMIT))
    kept = make_private_folder(home / decision["kept"])
    new = staging / NEW
    if (new / _REPLACED[0]).exists():  # it goes first, so that until then everything here is old
        for name in _REPLACED:
            _set_aside(home / name, kept / name)
        sync_folder(kept)
    for name in _REPLACED:
        if (new / name).exists():
            _set_aside(home / name, kept / name)  # another process has made it meanwhile
            (new / name).rename(home / name)
    for number, path in decision["outer"].items():
        with suppress(
            OSError, GpurentError
        ):  # as whoever writes it does: the file in the data folder counts too
            target = Path(path)
            write_private_file(
                make_private_folder(target.parent) / target.name,
                read_private_file(staging / OUTER / number),
            )
    with suppress(OSError):
        kept.rmdir()  # nothing was here before
    sync_folder(home)
    (staging / COMMIT).unlink()


def _set_aside(path: Path, place: Path) -> None:
    """Move what is at ``path`` to ``place``, or beside it if something is there; do nothing if there is nothing."""
    number = 2
    free = place
    while os.path.lexists(free):
        free = place.with_name(f"{place.name}.{number}")
        number += 1
    with suppress(FileNotFoundError):
        path.rename(free)


@contextmanager
def _hold_lock(home: Path, *, wait: bool) -> Iterator[bool]:
    """Yield whether this process holds the lock of restores; with ``wait``, it does."""
    folder = make_private_folder(home / "locks")
    if wait:
        with hold_file_lock(folder / f"{_LOCK}.lock"):
            yield True
        return
    lock = FileLocks(folder).take(_LOCK)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()

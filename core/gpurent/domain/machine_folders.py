"""gpurent's own folders on a machine, relative to the home folder: for its user alone."""

from __future__ import annotations

import posixpath
from typing import Any

from gpurent.errors import UsageError
from gpurent.locale import _

WORK_FOLDER = "gpurent"  # has the folders of trips
STATE_FOLDER = ".gpurent"  # jobs, the timer, partial uploads


def find_own_folders(path: str) -> tuple[str, ...]:
    """Return which folders on the way to ``path``, itself included, are gpurent's own: the outermost first.

    Below a trip's folder are the user's files.
    """
    parts = posixpath.normpath(path).split("/")
    if parts[0] == STATE_FOLDER:
        return tuple("/".join(parts[: at + 1]) for at in range(len(parts)))
    if parts[0] == WORK_FOLDER:
        return tuple("/".join(parts[: at + 1]) for at in range(min(len(parts), 2)))
    return ()


def check_machine_folder(_instance: Any, _attribute: Any, path: str) -> None:
    """Raise `UsageError` for a path that is relative to the home folder and leads out of it."""
    if posixpath.normpath(path).split("/")[0] == "..":
        raise UsageError(
            _("{path} leads out of the home folder of the machine").format(path=repr(path)[:80]),
            hint=_("Name a folder below it, or an absolute path: /data/mine"),
        )

"""gpurent's own folders on a machine, relative to the home folder: for its user alone."""

from __future__ import annotations

import posixpath
import re
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from gpurent.errors import UsageError
from gpurent.locale import _

WORK_FOLDER = "gpurent"  # has the folders of projects and trips
STATE_FOLDER = ".gpurent"  # jobs, the timer, partial uploads


_PROJECT_NAME = "[A-Za-z0-9._-]{1,40}-[0-9a-f]{8}"  # see `make_project_folder`
TRIP_FOLDER_PATTERN = rf"\b{WORK_FOLDER}/t\d{{4}}-[^/]+"
PROJECT_FOLDER_PATTERN = rf"\b{WORK_FOLDER}/{_PROJECT_NAME}(?=/|$)"


def make_project_folder(folder: str, installation: str) -> str:
    """Return the name, below `WORK_FOLDER`, for what trips upload from the local ``folder``.

    Each installation has its own: on a machine that several use, none works in the folder of another one.
    """
    base = re.sub("[^A-Za-z0-9._-]+", "-", PurePath(folder).name).strip("-.")[:40] or "project"
    mark = sha256(f"{installation}\n{folder}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{base}-{mark}"


def find_work_folder(trip_id: str, project: str) -> str:
    """Return the folder of a trip's files, relative to the home folder; without a ``project``, its own."""
    return f"{WORK_FOLDER}/{project or trip_id}"


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

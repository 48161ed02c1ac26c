"""gpurent's own folders on a machine, relative to the home folder: for its user alone."""

from __future__ import annotations

import posixpath

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

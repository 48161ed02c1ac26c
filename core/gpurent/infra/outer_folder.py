"""The folder outside the data folder, for what must outlive it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

_SYSTEM: str = sys.platform


def find_outer_path(home: Path, file_name: str, environment: Mapping[str, str]) -> Path | None:
    """Return the place of ``file_name`` for the data folder ``home``, one for each data folder of this user.

    It is below `GPURENT_STATE_HOME`, the XDG state folder, or Windows' folder of roaming settings; None if the
    environment names no home folder.
    """
    outer = _find_outer_folder(environment)
    return outer / f"{crc32(str(home.resolve()).encode()):08x}-{file_name}" if outer is not None else None


def _find_outer_folder(environment: Mapping[str, str]) -> Path | None:
    if given := environment.get("GPURENT_STATE_HOME"):
        return Path(given)
    if state := environment.get("XDG_STATE_HOME"):
        return Path(state) / "gpurent"
    if _SYSTEM == "win32" and (
        roaming := environment.get("APPDATA")
    ):  # the data folder is in the other one, Local
        return Path(roaming) / "gpurent"
    home = environment.get("HOME")
    return Path(home) / ".local" / "state" / "gpurent" if home else None

"""A project file as it was read, and what the user said about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from attrs import frozen

from gpurent.domain.trip import ProjectOrigin


@frozen(kw_only=True)
class ProjectFile:
    """The file at the real path ``path``, read once: ``sha256`` is of exactly the bytes that ``values`` come from.

    ``owner``: the number of the user whose file it is. ``written``: what it says, by key, as TOML values. ``values``:
    the parsed values of the trip's fields, with the folder that it is in.
    """

    path: Path
    sha256: str
    owner: int
    written: Mapping[str, Any]
    values: Mapping[str, Any]

    def make_origin(self, fields: Iterable[str]) -> ProjectOrigin:
        """Return what a trip records of this file, from which the values of ``fields`` come."""
        return ProjectOrigin(path=str(self.path), sha256=self.sha256, fields=tuple(fields))


@frozen(kw_only=True)
class TrustRecord:
    """The user trusted ``sha256`` as the content of the file ``path`` of the user ``owner``."""

    path: str
    sha256: str
    owner: int
    trusted_at: datetime


class ProjectTrust(Enum):
    """Whether a project file is trusted. CHANGED: not this content, but an earlier one."""

    TRUSTED = "trusted"
    CHANGED = "changed"
    UNKNOWN = "unknown"

"""Jobs that outlive the line: what is started, how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen, validators

SESSION_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}"


@frozen(kw_only=True)
class Job:
    """A shell ``command`` that runs in ``folder`` (relative to the home) as the session ``name``.

    Log, exit code, pid and start mark lie under ``.gpurent/jobs/<name>/`` of the remote home.
    """

    name: str = field(validator=validators.matches_re(SESSION_NAME_PATTERN))
    command: str
    folder: str = "."
    env: Mapping[str, str] = field(factory=dict)

    @property
    def state_dir(self) -> str:
        return f".gpurent/jobs/{self.name}"


class JobState(Enum):
    """ABSENT: never started. LOST: started, no longer running, left no exit code (the machine was shut)."""

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


@frozen(kw_only=True)
class JobStatus:
    """``exit_code`` is there when ENDED. ``reason`` explains an end at once, in words. Times are the machine's."""

    state: JobState
    exit_code: int | None = None
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@frozen(kw_only=True)
class SessionInfo:
    """One line of a session keeper's own listing: ``id`` as the tool prints it ("12345.name")."""

    id: str
    name: str
    attached: bool
    since: str = ""

"""Jobs that keep running when the connection drops: what to start, and their state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen, validators

from gpurent.domain.machine_folders import check_machine_folder
from gpurent.domain.secret import Secret
from gpurent.locale import N_, _
from gpurent.terminal_text import NO_TEXT, ForeignText

SESSION_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}"


@frozen(kw_only=True)
class Job:
    """A shell ``command`` that runs in ``folder`` (below the home folder, or absolute).

    A job and its session have one name.

    Its log, exit code, PID and the file that records its start are in ``.gpurent/jobs/<name>/`` of the remote home
    folder. So is ``env``, in its script; ``secrets`` are variables that are in no file there.
    ``earlier``: results, as paths and patterns, that may be there from before, and count only if they change.
    """

    name: str = field(validator=validators.matches_re(SESSION_NAME_PATTERN))
    command: str
    folder: str = field(default=".", validator=check_machine_folder)
    env: Mapping[str, str] = field(factory=dict)
    secrets: Mapping[str, Secret] = field(factory=dict)
    earlier: tuple[str, ...] = ()

    @property
    def state_dir(self) -> str:
        return f".gpurent/jobs/{self.name}"


class JobState(Enum):
    """ABSENT: never started. LOST: started, no longer running, no exit code (e.g. the machine was shut down)."""

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"

    @property
    def title(self) -> str:
        """The state in the user's language."""
        return _(_STATE_TITLES[self])


_STATE_TITLES = {
    JobState.ABSENT: N_("not started"),
    JobState.RUNNING: N_("running"),
    JobState.ENDED: N_("ended"),
    JobState.LOST: N_("ended without an exit code"),
}


@frozen(kw_only=True)
class JobStatus:
    """A job's status. ``exit_code`` is set when ENDED; ``reason`` explains an immediate end.

    Times are by the machine's clock.
    """

    state: JobState
    exit_code: int | None = None
    reason: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    started_at: datetime | None = None
    ended_at: datetime | None = None


@frozen(kw_only=True)
class SessionInfo:
    """One line of a session backend's listing: ``id`` ("12345.name") and ``since`` as the tool prints them."""

    id: str = field(converter=ForeignText)
    name: str = field(converter=ForeignText)
    attached: bool
    since: ForeignText = field(default=NO_TEXT, converter=ForeignText)
